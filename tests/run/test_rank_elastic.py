"""A run goes on with another number of ranks and back again; nobody takes a folder in which ranks still train."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from a2c import trainer
from a2c.machine.rank_group import Ranks
from a2c.settings.config import Config
from a2c.storage import run_lock
from a2c.storage.checkpoint import load_checkpoint
from a2c.storage.run_lock import LOCK, FolderTakenError, inherited, locked
from builders import config
from rank_processes import a2c, assert_same_weights, ended, last, ranks_of, wait_for
from rank_threads import together

NUM_ENVS, N_STEP = 8, 4
ROLLOUT = NUM_ENVS * N_STEP
SIZES = (2, 1, 2)


def trained(cfg: Config, folder: Path, size: int) -> None:
    if size == 1:
        trainer.train(cfg, folder)
        return

    def work(ranks: Ranks) -> Any:
        return trainer.train_rank(cfg, folder, ranks)

    together(size, work)


@pytest.mark.parametrize("deterministic", [True, False], ids=["the same bytes", "to tolerance"])
def test_two_ranks_then_one_then_two_end_as_one_session_does(tmp_path, deterministic):
    cfg = config(
        runs_dir=str(tmp_path),
        env={"id": "Pendulum-v1", "max_episode_steps": 17},  # no session ends where an episode does
        num_envs=NUM_ENVS,
        n_step=N_STEP,
        total_steps=30 * ROLLOUT,
        eval={"every": 0, "episodes": 0},
        vectorization="sync",
        threads=1,
        normalize_obs=True,
        normalize_reward=True,
        optimizer="adam",
        deterministic_ranks=deterministic,
    )
    trained(cfg, tmp_path / "whole", 2)
    for session, size in enumerate(SIZES):
        resume = str(tmp_path / "cut") if session else None
        part = dataclasses.replace(cfg, total_steps=10 * (session + 1) * ROLLOUT, resume=resume)
        trained(part, tmp_path / "cut", size)
    found, expected = (load_checkpoint(tmp_path / name / "checkpoints" / "last.pt") for name in ("cut", "whole"))
    for name, tensor in expected["learner"]["model"].items():
        if deterministic:
            assert torch.equal(found["learner"]["model"][name], tensor), name
        else:
            torch.testing.assert_close(found["learner"]["model"][name], tensor, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["collector"]["episodes"], expected["collector"]["episodes"])


@pytest.mark.long
def test_a_command_that_is_stopped_at_two_ranks_goes_on_with_one_and_with_two(tmp_path):
    settings = ("total_steps=20000", "deterministic_ranks=true")
    undisturbed = a2c(tmp_path / "one", *settings)
    for size in SIZES[:2]:
        before = last(tmp_path / "cut")["state"]["env_steps"] if list((tmp_path / "cut").glob("*/*/*/last.pt")) else 0
        running = a2c(tmp_path / "cut", *settings, f"ranks={size}", "resume=auto")

        def further(before: int = before) -> bool:
            saved = list((tmp_path / "cut").glob("*/*/checkpoints/last.pt"))
            return bool(saved) and load_checkpoint(saved[0])["state"]["env_steps"] > before

        wait_for(further)
        running.send_signal(signal.SIGTERM)
        code, _, err = ended(running)
        assert code == 143, err
    code, _, err = ended(a2c(tmp_path / "cut", *settings, "ranks=2", "resume=auto"))
    assert code == 0, err
    assert ended(undisturbed)[0] == 0
    assert last(tmp_path / "cut")["state"]["env_steps"] == last(tmp_path / "one")["state"]["env_steps"]
    assert_same_weights(tmp_path / "cut", tmp_path / "one", exactly=True)


@pytest.mark.long
def test_who_goes_on_with_a_run_whose_command_was_killed_waits_for_its_ranks(tmp_path):
    undisturbed = a2c(tmp_path / "one", "total_steps=20000", "ranks=2")
    killed = a2c(tmp_path / "two", "total_steps=20000", "ranks=2")
    wait_for(lambda: list((tmp_path / "two").glob("*/*/checkpoints/last.pt")))
    ranks = ranks_of(killed.pid)
    os.kill(ranks[1], signal.SIGSTOP)  # so that the agent needs its 30 s to end them
    killed.kill()
    killed.wait()
    again = a2c(tmp_path / "two", "total_steps=20000", "ranks=2", "resume=auto")
    code, out, err = ended(again)
    assert code == 0, err
    killed.communicate(timeout=600)  # its ranks had its pipes
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)
    assert "waiting until what process" in out + err
    assert len(list((tmp_path / "two").glob("CartPole-v1/*"))) == 1
    assert ended(undisturbed)[0] == 0
    assert_same_weights(tmp_path / "two", tmp_path / "one", exactly=True)


HEIR = "import sys; print('ready', flush=True); sys.stdin.read()"


def heir(folder: Path) -> subprocess.Popen[bytes]:
    """A process that has inherited the lock of a folder, until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEIR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=inherited(folder)
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def test_a_folder_stays_taken_while_an_heir_of_its_lock_lives(tmp_path):
    with locked(tmp_path, print):
        child = heir(tmp_path)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        with pytest.raises(FolderTakenError, match=f"process {os.getpid()} on "), locked(tmp_path, print):
            pass
    finally:
        child.communicate()
    with locked(tmp_path, print):
        pass


def test_what_a_dead_holder_has_started_is_waited_for(tmp_path, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    told: list[str] = []
    with locked(tmp_path, print):
        child = heir(tmp_path)
    (tmp_path / LOCK).write_text(f"process {dead.pid} on {socket.gethostname()}\n")

    def tell(line: str) -> None:
        told.append(line)
        child.communicate()  # now it ends

    with locked(tmp_path, tell):
        pass
    assert told == [f"waiting until what process {dead.pid} on {socket.gethostname()} has started ends, too"]
    with locked(tmp_path, print):
        child = heir(tmp_path)
    (tmp_path / LOCK).write_text(f"process {dead.pid} on {socket.gethostname()}\n")
    monkeypatch.setattr(run_lock, "ORPHANED", 0.1)
    try:
        with pytest.raises(FolderTakenError), locked(tmp_path, print):
            pass
    finally:
        child.communicate()
