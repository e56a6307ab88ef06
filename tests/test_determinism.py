"""Same seed, same machine: the same bytes, however many processes step the environments."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from a2c.api import load_config
from a2c.build import build, make_envs
from a2c.settings.config import Config
from a2c.storage.checkpoint import load_checkpoint
from a2c.storage.metrics_file import METRICS, read_rows
from a2c.trainer import train

ENVS = ("cartpole", "pendulum")  # discrete and bare; continuous with both normalisers, lambda and a schedule


def settings(env: str, **changes: Any) -> Config:
    cfg = load_config(
        f"env={env}",
        "total_steps=1200",
        "num_envs=5",  # does not divide evenly among 2 or 3 workers
        "log_every=200",
        "eval.every=600",
        "eval.episodes=2",
        "eval.final_episodes=1",
        "checkpoint.every=600",
        "wandb.mode=disabled",
        "gif=false",
        "device=cpu",
        "vectorization=sync",
    )
    return dataclasses.replace(cfg, **changes)


def record(cfg: Config, folder: Path) -> tuple[list[dict[str, Any]], dict[str, torch.Tensor]]:
    """Train; the rows of metrics.jsonl without their clocks, and the final weights with the normaliser's statistics."""
    cfg = dataclasses.replace(cfg, runs_dir=str(folder))
    summary = train(cfg, folder / "run")
    rows = [
        {key: value for key, value in row.items() if not key.startswith("time/")}
        for row in read_rows(folder / "run" / METRICS)
    ]
    weights = load_checkpoint(Path(summary.last_checkpoint))["learner"]["model"]
    assert len(rows) == 6
    assert rows[-1]["global_step"] >= 1200
    assert {"train/loss", "train/grad_norm", "eval/mean_reward"} <= set(rows[-1])
    return rows, weights


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return {env: record(settings(env), tmp_path_factory.mktemp(env)) for env in ENVS}


@pytest.mark.parametrize(
    "changes",
    [
        {"vectorization": "sync"},
        {"vectorization": "workers", "num_workers": 1, "main_shard": False},
        {"vectorization": "workers", "num_workers": 2, "main_shard": False},
        {"vectorization": "workers", "num_workers": 3, "main_shard": False},
        {"vectorization": "workers", "num_workers": 1, "main_shard": True},
        {"vectorization": "workers", "num_workers": 2, "main_shard": True},
        {"vectorization": "auto"},  # either, by the clock
    ],
    ids=["sync", "1 worker", "2 workers", "3 workers", "1 worker and itself", "2 workers and itself", "auto"],
)
@pytest.mark.parametrize("env", ENVS)
def test_equal_seeds_give_equal_bytes(
    env: str, changes: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    rows, weights = record(settings(env, **changes), tmp_path)
    first_rows, first_weights = expected[env]
    assert rows == first_rows  # floats are written in full: equal text, equal bits
    assert weights.keys() == first_weights.keys()
    for name, weight in weights.items():
        assert torch.equal(weight, first_weights[name]), name


@pytest.mark.parametrize(
    "changes",
    [
        {"vectorization": "workers", "num_workers": 2, "main_shard": False},
        {"vectorization": "workers", "num_workers": 1, "main_shard": True},
    ],
    ids=["2 workers", "1 worker and itself"],
)
def test_what_is_remembered_depends_on_no_layout(changes: dict[str, Any], tmp_path: Path) -> None:
    cfg = settings("cartpole")
    cfg.network.memory, cfg.network.memory_size = "gru", 8
    rows, weights = record(dataclasses.replace(cfg, **changes), tmp_path / "one")
    first_rows, first_weights = record(cfg, tmp_path / "other")
    assert rows == first_rows
    for name, weight in weights.items():
        assert torch.equal(weight, first_weights[name]), name


@pytest.mark.parametrize("env", ENVS)
def test_another_seed_gives_another_run(env: str, expected: dict[str, Any], tmp_path: Path) -> None:
    rows, _ = record(settings(env, seed=2), tmp_path)
    assert rows != expected[env][0]


def test_an_environment_goes_its_own_way_however_many_there_are() -> None:
    """The first 3 of 5 environments see what 3 alone would see, as long as the policy is the same."""
    seen = []
    for count in (3, 5):
        cfg = settings("cartpole", num_envs=count, n_step=30)
        with make_envs(cfg) as envs:
            _, collector = build(cfg, envs)
            rollout = collector.collect(0)
            seen.append((rollout.obs[:, :3].clone(), rollout.actions[:, :3].clone(), rollout.terminated[:, :3]))
    for few, many in zip(*seen, strict=True):
        assert torch.equal(few, many)
    assert seen[0][2].any()  # episodes ended on the way


def test_environments_of_another_process_are_others() -> None:
    """A3C's second worker sees what environments 2 to 4 of five see, as long as the policy is the same."""
    seen = []
    for first, count in ((0, 5), (2, 3)):
        cfg = settings("cartpole", num_envs=count, n_step=30)
        with make_envs(cfg, first=first) as envs:
            learner, _ = build(cfg, envs)
            rollout = envs.make_collector(learner.model, cfg).collect(0)
            seen.append((rollout.obs[:, -3:].clone(), rollout.actions[:, -3:].clone()))
    for one, other in zip(*seen, strict=True):
        assert torch.equal(one, other)


def test_learning_leaves_the_arithmetic_of_environments_alone() -> None:
    """An environment computes with denormal numbers in a worker; flushed to zero here, it would go another way."""
    cfg = settings("cartpole")
    with make_envs(cfg) as envs:
        learner, collector = build(cfg, envs)
        learner.update(collector.collect(0), 0)
        tiny = np.array([1e-45], np.float32)  # the smallest float32 is 1.4e-45, the smallest normal one 1.2e-38
        assert (tiny * np.ones(1, np.float32))[0] > 0
