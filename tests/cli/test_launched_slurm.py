"""Whole multiruns on Slurm, as far as commands of the same names in its place can tell."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import slurm_stand_in
from a2c.storage.checkpoint import load_checkpoint
from builders import LIGHT
from launched import end_all, ended, processes, saved, started, wait_for
from launchers_here import needs_launchers


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    end_all()


@needs_launchers
@pytest.mark.long
@pytest.mark.parametrize("launcher", ["slurm", "slurm_nodes"])
def test_a_slurm_array_is_requeued_and_goes_on(launcher: str, tmp_path: Path) -> None:
    environ = slurm_stand_in.install(tmp_path / "slurm")
    more = ("num_envs=4", "checkpoint.every=2_000", "total_steps=40_000", "seed=1,2", f"hydra/launcher={launcher}")
    process = started(*LIGHT, *more, environ=environ)
    wait_for(lambda: len(saved()) == 2)
    tasks = [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if is_task(pid, tmp_path)]
    assert len(tasks) == (2 if launcher == "slurm" else 4)
    for task in tasks:
        with contextlib.suppress(ProcessLookupError):
            os.kill(task, signal.SIGUSR2)  # the time of the jobs is over soon
    code, out, err = ended(process)
    assert (code, err) == (0, [])
    assert len([line for line in out if line.startswith("run ")]) == 2
    assert len(saved()) == 2
    for path in saved():
        assert "resumed after" in (path.parents[1] / "console.log").read_text()
        assert load_checkpoint(path)["state"]["env_steps"] >= 40_000
    wait_for(lambda: all(path.read_text() == "COMPLETED" for path in (tmp_path / "slurm").glob("*.state")))


@needs_launchers
@pytest.mark.long
def test_a_job_whose_node_fails_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    environ = slurm_stand_in.install(tmp_path / "slurm")
    more = ("checkpoint.every=2_000", "total_steps=60_000", "seed=1,2", "hydra/launcher=slurm")
    process = started(*LIGHT, *more, environ=environ)
    wait_for(lambda: len(saved()) == 2)
    tasks = [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if is_task(pid, tmp_path)]
    for path in (tmp_path / "slurm").glob("*.state"):
        path.write_text("REQUEUED")
    for pid in [pid for task in tasks for pid in processes("", task)]:
        os.kill(pid, signal.SIGKILL)
    code, out, err = ended(process)
    assert (code, err) == (0, [])
    assert len([line for line in out if line.startswith("run ")]) == len(saved()) == 2
    for path in saved():
        assert "resumed after" in (path.parents[1] / "console.log").read_text()
        assert load_checkpoint(path)["state"]["env_steps"] == 60_000
    wait_for(lambda: all(path.read_text() == "COMPLETED" for path in (tmp_path / "slurm").glob("*.state")))


def is_task(pid: int, place: Path) -> bool:
    """Whether a process is a task that submitit has started from here."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        return words[1:4] == ["-u", "-m", "submitit.core._submit"] and words[4].startswith(str(place))
    return False
