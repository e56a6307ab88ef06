"""Faults from outside: each takes a running session and does it harm; True where there was something to harm."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from soak.session import Session

FULL = 6.0  # seconds that the disk stays full, or until the trainer has ended
ROOM = "96m"  # of the small file system


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done, and which exit codes it may lead to; None: the trainer goes on."""

    name: str
    strike: Callable[[Session], bool]
    codes: tuple[int | None, ...]


def faults(todo: Path, disk: Path | None, draw: random.Random) -> list[Fault]:
    """All kinds.

    Args:
        todo: the folder of :class:`flaky.Flaky`.
        disk: where a small file system is mounted that ``runs_dir`` lies on; None: none could be.
        draw: chooses the worker.
    """

    def to_worker(name: str) -> Callable[[Session], bool]:
        return lambda running: send(workers(running), name, draw)

    def to_service(name: str) -> Callable[[Session], bool]:
        return lambda running: send(services(running), name, draw)

    def raise_once(running: Session) -> bool:
        (todo / f"{time.monotonic_ns()}").touch()
        return True

    def stop(name: str) -> Callable[[Session], bool]:
        return lambda running: running.send(name) >= 0.0

    made = [
        Fault("a worker is killed", to_worker("SIGKILL"), (None,)),
        Fault("a worker hangs", to_worker("SIGSTOP"), (None,)),
        Fault("an environment raises", raise_once, (None,)),
        Fault("W&B's service is killed", to_service("SIGKILL"), (None,)),
        Fault("W&B's service hangs", to_service("SIGSTOP"), (None,)),
        Fault("SIGTERM", stop("SIGTERM"), (143,)),
        Fault("SIGKILL", stop("SIGKILL"), (-9,)),
    ]
    if disk is not None:
        made.append(Fault("the disk is full", lambda running: fill(disk, running), (None, 6)))
    return made


def send(pids: list[int], name: str, draw: random.Random) -> bool:
    """A signal to one of them."""
    if not pids:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(draw.choice(sorted(pids)), getattr(signal, name))
        return True
    return False


def resume(pids: list[int]) -> None:
    """Let processes go on that a fault stopped."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def workers(running: Session) -> list[int]:
    """The processes that step environments: children of multiprocessing's forkserver."""
    servers = {pid for pid, words in running.family().items() if "forkserver" in words and parent(pid) == running.pid}
    return [pid for pid in running.family() if parent(pid) in servers]


def services(running: Session) -> list[int]:
    """W&B's service."""
    return [pid for pid, words in running.family().items() if "wandb-core" in words]


def parent(pid: int) -> int:
    """The parent's pid; 0 for a process that has ended."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def fill(disk: Path, running: Session) -> bool:
    """Leave no byte on the disk for a while."""
    ballast = disk / "ballast"
    try:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                file.write(b"\0")
        running.wait_until(lambda: running.ended, FULL)
    finally:
        ballast.unlink()
    return True


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[str | None]:
    """Mount a small file system on a folder; gives why not, where that is not allowed."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        yield (done.stderr.strip() or "mount failed").splitlines()[0]
        return
    try:
        yield None
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)
