"""Multiruns in processes of their own, as typed in a terminal, and what they leave in the working folder."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from a2c.storage.run_lock import is_held

_started: list[subprocess.Popen[str]] = []


def end_all() -> None:
    """After a test that has failed, nothing goes on for hours."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
            process.wait()
    for place in Path().absolute().glob("runs/*/*/.lock"):
        if (holder := place.read_text().split()[1:2]) and is_held(place.parent):
            os.kill(int(holder[0]), signal.SIGKILL)


CONTROLLED = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "a2c", *sys.argv[1:]])
"""


def started(*words: str, environ: dict[str, str] | None = None, terminal: int | None = None) -> subprocess.Popen[str]:
    """``a2c train -m`` in a session of its own, which has its process group to itself as in a terminal, or in one."""
    program = ["-m", "a2c"] if terminal is None else ["-c", CONTROLLED]
    with Path("out").open("w") as out, Path("err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, *program, "train", "-m", *words],
            stdin=terminal, stdout=out if terminal is None else terminal, stderr=err if terminal is None else terminal,
            text=True, start_new_session=True, env=os.environ | (environ or {}),
        )  # fmt: skip
    _started.append(process)
    return process


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str], list[str]]:
    """Its exit code, and the lines that it printed."""
    code = process.wait(timeout=600)
    return code, Path("out").read_text().splitlines(), Path("err").read_text().splitlines()


def wait_for(condition: Callable[[], Any], seconds: float = 300.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, Path("err").read_text() + Path("out").read_text()
        time.sleep(0.05)
    return found


def saved() -> list[Path]:
    return sorted(Path("runs").glob("CartPole-v1/*/checkpoints/last.pt"))


def processes(word: str, below: int) -> list[int]:
    """The processes below one whose command lines hold a word."""
    found, waiting = [], [below]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError):
            if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())
    return sorted(found)
