"""Trainings with ranks in processes of their own, looked at from outside."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from a2c.storage.checkpoint import load_checkpoint

LIGHT = (
    "env=cartpole",
    "num_envs=4",
    "vectorization=sync",
    "device=cpu",
    "gif=false",
    "wandb.mode=disabled",
    "eval.every=0",
    "eval.episodes=1",
    "eval.final_episodes=1",
    "log_every=1000",
    "checkpoint.every=1000",
)


def a2c(folder: Path, *overrides: str, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [sys.executable, *launcher, "-m", "a2c", "train", *LIGHT, f"runs_dir={folder}", *overrides]
    environ = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "LOGLEVEL": "CRITICAL"}
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit code, and what it printed."""
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def last(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("*/*/checkpoints/last.pt")
    return load_checkpoint(path)


def assert_same_weights(one: Path, other: Path, *, exactly: bool = False) -> None:
    tolerances = {"rtol": 0.0, "atol": 0.0} if exactly else {"rtol": 1e-4, "atol": 1e-5}
    for name, tensor in last(other)["learner"]["model"].items():
        torch.testing.assert_close(last(one)["learner"]["model"][name], tensor, **tolerances)


def ranks_of(agent: int) -> list[int]:
    """The processes of ranks below a process, in order."""
    found = []
    for pid in children_of(agent):
        with contextlib.suppress(OSError):
            if b"a2c.cli.rank_process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return sorted(found)


def children_of(pid: int) -> list[int]:
    """The processes below a process."""
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())
        found.append(parent)
    return found[1:]


def wait_for(condition: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
