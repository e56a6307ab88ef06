"""One training in a process of its own: how it is ended, and what is left of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from a2c.errors import RunIOError
from a2c.storage.run_lock import hold
from a2c.sweeps.training import is_training, last_line, train
from a2c.sweeps.wandb_names import wandb_overrides

# A training that notes SIGTERM and goes on; the second one ends it.
STUBBORN = """\
#!{python}
import os, signal, sys, time
def note(*_):
    print("asked", flush=True)
    if "GIVES_UP" in os.environ and len(seen) == 1:
        sys.exit(130)
    seen.append(1)
seen = []
signal.signal(signal.SIGTERM, note)
print("began", flush=True)
while True:
    time.sleep(0.02)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "program"
    program.write_text(STUBBORN.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr("a2c.sweeps.training.sys.executable", str(program))
    monkeypatch.setattr("a2c.sweeps.training.POLL", 0.05)
    monkeypatch.setattr("a2c.sweeps.training.PATIENCE", 0.2)
    return tmp_path / "trial-0000"


def _said(folder: Path) -> list[str]:
    return folder.with_suffix(".log").read_text().split()


def test_asked_twice_a_run_ends_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch):
    # In order: one signal, however often stop says so. At once: a second one.
    monkeypatch.setenv("GIVES_UP", "1")
    assert train(folder, [], lambda: min(2, len(_said(folder)))) == 130
    assert _said(folder) == ["began", "asked", "asked"]


def test_a_run_that_does_not_end_at_once_is_killed(folder: Path):
    assert train(folder, [], lambda: min(2, len(_said(folder)))) == 128 + 9
    assert _said(folder) == ["began", "asked", "asked"]
    assert last_line(folder) == "asked"
    assert not is_training(folder)


def test_two_trainings_do_not_write_one_log(folder: Path):
    with folder.with_suffix(".log").open("ab") as log:
        assert hold(log.fileno())
        with pytest.raises(RunIOError, match="belongs to a training that is going on; wait for it, or stop it"):
            train(folder, [], lambda: 2)


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path):
    with pytest.raises(RunIOError, match=r"cannot write .*none/trial-0000.log: No such file or directory"):
        train(tmp_path / "none" / "trial-0000", [], lambda: 0)


def test_a_run_goes_on_with_what_belongs_to_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    program.chmod(0o755)
    monkeypatch.setattr("a2c.sweeps.training.sys.executable", str(program))
    folder = tmp_path / "trial-0000"
    overrides = ["env=cartpole", "device=cpu", "threads=1", "env.kwargs.api_key=S", "lr=0.1"]
    assert train(folder, overrides, lambda: 0) == 0
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "last.pt").touch()
    assert train(folder, overrides, lambda: 0) == 0
    place = [f"runs_dir='{tmp_path}'"]
    begun = ["-m", "a2c", "train", *wandb_overrides(folder), *overrides, *place, f"hydra.run.dir='{folder}'"]
    resumed = [
        "-m",
        "a2c",
        "train",
        f"resume='{folder}'",
        "--trust",
        *place,
        "device=cpu",
        "threads=1",
        "env.kwargs.api_key=S",
    ]
    assert folder.with_suffix(".log").read_text().splitlines() == [*begun, *resumed]
