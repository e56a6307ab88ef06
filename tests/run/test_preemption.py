"""Whatever hangs where a signal comes, the run saves what is sound and ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import a2c
from a2c.errors import StoppedError
from a2c.run import stopping
from a2c.run.rows import LEFT, WAITING_ROW
from a2c.storage.checkpoint import load_checkpoint
from a2c.storage.metrics_file import read_rows
from hanging import HANGS
from registrations import forget
from test_faults import PATIENCE, Start, start

pytestmark = pytest.mark.long

__all__ = ["start"]  # a fixture

LIGHT = (
    "env.id=hanging:Hanging-v0",
    "device=cpu",
    "wandb.mode=disabled",
    "gif=false",
    "eval.every=0",
    "eval.episodes=2",
    "eval.final_episodes=2",
    "num_envs=4",
    "n_step=5",
    "log_every=20",
    "total_steps=1_000_000",
)
WAYS = {
    "sync": ["vectorization=sync"],
    "groups": ["vectorization=sync", "env_groups=2"],
    "workers": ["vectorization=workers", "num_workers=2", "main_shard=false"],
    "main shard": ["vectorization=workers", "num_workers=1", "main_shard=true"],
    "async": ["vectorization=async"],
    "a3c": ["algo=a3c", "num_workers=2"],
}


@pytest.fixture(autouse=True)
def nothing_registered_stays() -> Iterator[None]:
    yield
    forget({"Hanging-v0"}, {"hanging"})


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "PATIENCE", 0.05)
    monkeypatch.setattr(stopping, "AGAIN", 0.05)


@contextlib.contextmanager
def signal_once(file: Path, name: str = "SIGTERM") -> Iterator[None]:
    """Send this process a signal when the file is there."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            if file.exists():
                os.kill(os.getpid(), getattr(signal, name))
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def hanging(folder: Path, where: str, *overrides: str, how: str = "sleep") -> a2c.Config:
    kwargs = f"env.kwargs={{folder:'{folder}',where:{where},how:{how}}}"
    return a2c.load_config(*LIGHT, f"runs_dir={folder}/runs", kwargs, *overrides)


# Another process is ended whatever it does: only in this one does it matter how it hangs.
@pytest.mark.parametrize(
    ("way", "how"),
    [
        *((way, "sleep") for way in WAYS),
        *((way, how) for way in ("sync", "main shard") for how in ("loop", "stubborn")),
    ],
)
def test_an_environment_that_hangs_in_training_costs_the_rollout_and_no_more(
    tmp_path: Path, way: str, how: str
) -> None:
    with signal_once(tmp_path / HANGS):
        summary = a2c.train(hanging(tmp_path, "step", *WAYS[way], how=how))
    assert summary.stopped == "SIGTERM"
    saved = load_checkpoint(Path(summary.last_checkpoint))["state"]
    assert (saved["env_steps"], saved["update"]) == (summary.env_steps, summary.updates)
    if way != "a3c":  # environments hang in their 30th step: five rollouts of five steps are whole
        assert (summary.updates, summary.env_steps) == (5, 100)
    assert read_rows(Path(summary.folder) / "metrics.jsonl")


def test_a_run_that_hung_goes_on_from_where_it_was_saved(tmp_path: Path) -> None:
    with signal_once(tmp_path / HANGS):
        first = a2c.train(hanging(tmp_path, "step", "vectorization=sync"))
    runs = f"runs_dir={tmp_path}/runs"
    again = a2c.train(a2c.load_config("resume=latest", runs, "total_steps=200", "env.kwargs.where=nowhere"))
    assert (again.folder, again.env_steps, again.stopped) == (first.folder, 200, None)


@pytest.mark.parametrize("apart", ["false", "true"])
def test_an_evaluation_that_hangs_is_left_to_the_next_session(tmp_path: Path, apart: str) -> None:
    cfg = hanging(tmp_path, "evaluation", "vectorization=sync", "eval.every=100", f"eval.apart={apart}")
    with signal_once(tmp_path / HANGS):
        summary = a2c.train(cfg)
    assert summary.stopped == "SIGTERM"
    saved = load_checkpoint(Path(summary.last_checkpoint))
    assert saved["state"]["env_steps"] == summary.env_steps >= 100
    assert (LEFT if apart == "true" else WAITING_ROW) in saved
    assert [row["global_step"] for row in read_rows(Path(summary.folder) / "metrics.jsonl")] == [20, 40, 60, 80]


@pytest.mark.parametrize("way", WAYS)
def test_a_first_reset_that_hangs_ends_the_run_with_nothing_left(tmp_path: Path, way: str) -> None:
    cfg = hanging(tmp_path, "reset", "eval.apart=true", *WAYS[way])
    with signal_once(tmp_path / HANGS, "SIGINT"), pytest.raises(StoppedError) as caught:
        a2c.train(cfg)
    assert caught.value.exit_code == 130
    assert str(caught.value) == (
        "stopped: an environment did not answer before the first update (SIGINT); nothing was changed"
    )
    assert not list(tmp_path.glob("runs/*/*/checkpoints/*"))


@pytest.mark.slow
def test_real_signals_end_a_run_whose_environments_hang(start: Start, tmp_path: Path) -> None:
    run = start(*LIGHT, f"env.kwargs={{folder:'{tmp_path}',where:step}}", "vectorization=async")
    run.wait_until((tmp_path / HANGS).exists)
    os.killpg(run.process.pid, signal.SIGHUP)  # a closed terminal tells everyone
    assert run.process.wait(PATIENCE) == 129
    assert json.loads((run.folder / "summary.json").read_text())["updates"] == 5
    out = run.out.read_text()
    assert "an environment did not answer within 3 s; what it was at is dropped" in out
    assert "SIGHUP: stopped after 100 steps, checkpoint saved" in out
    assert run.err.read_text() == ""


@pytest.mark.slow
def test_a_second_signal_does_not_wait_for_an_environment(start: Start, tmp_path: Path) -> None:
    run = start(*LIGHT, f"env.kwargs={{folder:'{tmp_path}',where:step}}", "vectorization=sync")
    run.wait_until((tmp_path / HANGS).exists)
    run.process.send_signal(signal.SIGTERM)
    time.sleep(0.1)
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(PATIENCE) == 130
    assert not (run.folder / "summary.json").exists()
