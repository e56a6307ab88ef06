"""A3C as a user runs it: real workers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from a2c.api import load_config, train_in
from a2c.envs.look import decided
from a2c.errors import CheckpointError, ConfigError, EnvironmentFailure, NumericError
from a2c.settings.config import Config
from a2c.storage.checkpoint import load_checkpoint
from a2c.storage.metrics_file import METRICS, read_rows
from sessions import differences

LIGHT = (
    "total_steps=600",
    "log_every=100",
    "eval.every=300",
    "eval.episodes=2",
    "eval.final_episodes=1",
    "checkpoint.every=300",
    "wandb.mode=disabled",
    "gif=false",
    "device=cpu",
    "vectorization=sync",
)
ENVS = ("cartpole", "pendulum")  # discrete and bare; continuous with a reward normaliser, lambda and a schedule


def settings(*overrides: str, **changes: Any) -> Config:
    return decided(dataclasses.replace(load_config(*LIGHT, *overrides), **changes))


def with_one_worker(cfg: Config) -> Config:
    """The same settings, learned from by one asynchronous worker."""
    return dataclasses.replace(cfg, algo="a3c", num_workers=1)


def record(cfg: Config, folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Train; the rows without clocks and lag, and the last checkpoint."""
    summary = train_in(dataclasses.replace(cfg, runs_dir=str(folder)), folder / "run")
    rows = [
        {key: value for key, value in row.items() if not key.startswith(("time/", "train/lag"))}
        for row in read_rows(folder / "run" / METRICS)
    ]
    return rows, load_checkpoint(Path(summary.last_checkpoint))


def assert_equal_runs(one: tuple[list[Any], dict[str, Any]], other: tuple[list[Any], dict[str, Any]]) -> None:
    assert one[0] == other[0]  # floats are written in full: equal text, equal bits
    assert len(one[0]) >= 6
    for part in ("model", "optimizer"):
        mine, theirs = one[1]["learner"][part], other[1]["learner"][part]
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert torch.equal(mine[name], theirs[name]), name
    assert one[1]["state"]["env_steps"] == other[1]["state"]["env_steps"]
    assert one[1]["state"]["update"] == other[1]["state"]["update"]


@pytest.mark.parametrize(
    ("env", "memory"),
    [
        *((env, "null") for env in ENVS),
        *(pytest.param(*case, marks=pytest.mark.long) for case in (("cartpole", "lstm"), ("pendulum", "gru"))),
    ],
)
def test_with_one_worker_it_is_a2c_with_one_environment(env: str, memory: str, tmp_path: Path):
    """Bit for bit: metrics, evaluations, weights, statistics, what is remembered; also with observations normalised."""
    of_network = (f"network.memory={memory}", "network.memory_size=8")
    cfg = settings(f"env={env}", "num_envs=1", "normalize_obs=true", "normalize_reward=true", *of_network)
    a2c = record(cfg, tmp_path / "a2c")
    a3c = record(with_one_worker(cfg), tmp_path / "a3c")
    assert_equal_runs(a2c, a3c)
    assert differences(a3c[1]["collector"]["workers"], [a2c[1]["collector"]]) == []


@pytest.mark.parametrize("memory", ["null", pytest.param("lstm", marks=pytest.mark.long)])
def test_with_one_worker_and_one_step_it_is_ac(memory: str, tmp_path: Path):
    cfg = settings("env=cartpole", "algo=ac", f"network.memory={memory}")
    assert (cfg.num_envs, cfg.n_step) == (1, 1)
    ac = record(cfg, tmp_path / "ac")
    a2c = record(dataclasses.replace(cfg, algo="a2c"), tmp_path / "a2c")
    a3c = record(with_one_worker(cfg), tmp_path / "a3c")
    assert_equal_runs(ac, a2c)
    assert_equal_runs(ac, a3c)


def test_one_worker_may_have_several_environments(tmp_path: Path):
    cfg = settings("env=cartpole", "num_envs=3")
    a2c = record(cfg, tmp_path / "a2c")
    a3c = record(with_one_worker(cfg), tmp_path / "a3c")
    assert_equal_runs(a2c, a3c)


def test_a_resumed_worker_goes_on_as_a2c_does(tmp_path: Path):
    runs = []
    plain = settings("env=cartpole", "num_envs=1")
    for cfg in (plain, with_one_worker(plain)):
        folder = tmp_path / cfg.algo
        record(dataclasses.replace(cfg, total_steps=304), folder)
        runs.append(record(dataclasses.replace(cfg, resume=str(folder / "run")), folder))
    assert_equal_runs(*runs)


def test_every_push_is_counted_with_its_lag(tmp_path: Path):
    cfg = settings("env=cartpole", "algo=a3c", "num_workers=3", "total_steps=3000", "log_every=500", "eval.every=0")
    train_in(dataclasses.replace(cfg, runs_dir=str(tmp_path)), tmp_path / "run")
    rows = read_rows(tmp_path / "run" / METRICS)
    pushes = [count for row in rows for count in row["train/lag_histogram"]]
    saved = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert sum(pushes) == saved["state"]["update"] == rows[-1]["global_step"] / cfg.n_step
    assert saved["state"]["env_steps"] == rows[-1]["global_step"]
    for row in rows:
        counts = row["train/lag_histogram"]
        assert row["train/lag_max"] == max(lag for lag, count in enumerate(counts) if count)
        mean = sum(lag * count for lag, count in enumerate(counts)) / sum(counts)
        assert row["train/lag_mean"] == pytest.approx(mean)
    # Of three workers at rest two find at their first push that another one has landed, or none of them waited.
    assert any(row["train/lag_max"] > 0 for row in rows)


def test_another_number_of_workers_is_refused_on_resume(tmp_path: Path):
    cfg = settings("env=cartpole", "algo=a3c", "num_workers=1", "total_steps=100")
    record(cfg, tmp_path)
    again = dataclasses.replace(cfg, num_workers=2, resume=str(tmp_path / "run"), runs_dir=str(tmp_path))
    with pytest.raises(CheckpointError, match="it had num_workers=1, not 2; add num_workers=1"):
        train_in(again, tmp_path / "run")


def test_the_command_line_takes_algorithm_and_run_from_the_resumed_run(tmp_path: Path):
    cfg = settings("env=cartpole", "algo=a3c", "num_workers=2", f"runs_dir={tmp_path}")
    from a2c import api

    folder = Path(api.train(dataclasses.replace(cfg, total_steps=100)).folder)
    assert "_a3c-seed1" in folder.name
    again = load_config(f"resume={folder}", "total_steps=200")
    assert (again.algo, again.num_workers, again.num_envs) == ("a3c", 2, 1)
    with pytest.raises(ConfigError, match="algo=ac, but the run to resume trains a3c; leave out algo="):
        load_config(f"resume={folder}", "algo=ac")


def failing(tmp_path: Path, name: str, **env: Any) -> Path:
    """Train two workers on an environment that fails; the run folder."""
    import faulty  # noqa: F401  registers it here, not where the workers look

    cfg = settings(f"env.id={name}", "algo=a3c", "num_workers=2", runs_dir=str(tmp_path))
    cfg.env = dataclasses.replace(cfg.env, **env)
    train_in(
        dataclasses.replace(cfg, total_steps=10_000, eval=dataclasses.replace(cfg.eval, every=0)), tmp_path / "run"
    )
    return tmp_path / "run"


def test_an_environment_that_raises_is_told_with_its_traceback_and_the_run_saved(tmp_path: Path):
    with pytest.raises(EnvironmentFailure, match=r"environment \d raised ZeroDivisionError in step 41") as caught:
        failing(tmp_path, "Raises-v0")
    notes = "\n".join(caught.value.__notes__)
    assert "worker " in notes
    assert "faulty.py" in notes
    saved = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")["state"]
    assert saved["env_steps"] == 5 * saved["update"]  # what had landed by then, of rollouts of 5 steps
    assert saved["update"] >= 8  # the worker that failed had learned from 40


def test_a_reward_that_is_no_number_is_never_learned_from(tmp_path: Path):
    with pytest.raises(NumericError, match="reward"):
        failing(tmp_path, "NotANumber-v0")


def test_a_worker_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("a2c.a3c.team.GRACE", 1.0)
    with pytest.raises(EnvironmentFailure, match=r"worker \d \(pid \d+, environment \d\) has not finished a rollout"):
        failing(tmp_path, "Hangs-v0", step_timeout=0.1)
