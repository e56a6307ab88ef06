"""Environments that fail in a step are made anew and brought to where they were, so that nothing is lost."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from a2c.build import build, make_envs
from a2c.envs.healing import HOUR, Restarts
from a2c.errors import EnvironmentFailure
from a2c.run.state import TrainState
from a2c.settings.config import Config
from a2c.trainer import updates
from builders import config
from registrations import forget

UPDATES = 12
LAYOUTS = {
    "sync": {"vectorization": "sync"},
    "groups": {"vectorization": "sync", "env_groups": 2},
    "workers": {"vectorization": "workers", "num_workers": 2, "main_shard": False},
    "main shard": {"vectorization": "workers", "num_workers": 1, "main_shard": True},
}


@pytest.fixture(autouse=True)
def flaky() -> Iterator[None]:
    yield
    forget(["Flaky-v0"], ["flaky"])


class Folder:
    """Holds how often environments shall fail from now on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def owe(self, failures: int) -> None:
        for k in range(failures):
            (self.path / str(k)).touch()

    @property
    def owed(self) -> int:
        return len(list(self.path.iterdir()))


@pytest.fixture
def todo(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "todo")


def flaky_config(todo: Folder, env: dict[str, Any], kwargs: dict[str, Any], **changes: Any) -> Config:
    cfg = config(num_envs=4, n_step=5, total_steps=UPDATES * 20, normalize_reward=True, threads=1, **changes)
    kwargs = {"todo": str(todo.path), **kwargs}
    return replace(cfg, env=replace(cfg.env, id="flaky:Flaky-v0", kwargs=kwargs, **env))


def trained(cfg: Config, todo: Folder, failures: int) -> tuple[Tensor, int, dict[str, float], list[str]]:
    """Train; environments fail so many times. Returns weights, transitions, metrics of the collector, and notes."""
    notes: list[str] = []
    with make_envs(cfg) as envs:  # the trial of exact resume meets no failure
        learner, collector = build(cfg, envs, notify=notes.append)
        todo.owe(failures)
        *_, state = updates(learner, collector, TrainState(), cfg.total_steps)
        assert todo.owed == 0, "environments did not fail as often as they should"
        return learner.weights.detach().clone(), state.env_steps, collector.metrics(), notes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_environment_that_raises_costs_nothing(todo: Folder, layout: str) -> None:
    cfg = flaky_config(todo, {}, {}, **LAYOUTS[layout])
    whole = trained(cfg, todo, 0)
    weights, steps, metrics, notes = trained(cfg, todo, 2)
    assert torch.equal(weights, whole[0])
    assert (steps, metrics) == whole[1:3]
    assert len(notes) in (1, 2)  # two workers may fail in the same step
    assert "raised ZeroDivisionError in step" in notes[0]
    assert notes[0].endswith("100 % broken; restarted (1 of 3 in an hour)")


@pytest.mark.parametrize("layout", ["workers", "main shard"])
def test_a_worker_that_is_killed_costs_nothing(todo: Folder, layout: str) -> None:
    where = LAYOUTS[layout] | {"main_shard": False}
    cfg = flaky_config(todo, {}, {"fault": "kill"}, **where)
    whole = trained(cfg, todo, 0)
    weights, steps, metrics, notes = trained(cfg, todo, 1)
    assert torch.equal(weights, whole[0])
    assert (steps, metrics) == whole[1:3]
    assert len(notes) == 1
    assert "was killed by SIGKILL" in notes[0]


def test_a_worker_made_anew_gives_every_descriptor_back_at_once(todo: Folder) -> None:
    cfg = flaky_config(todo, {"restarts": 9}, {"fault": "kill"}, **LAYOUTS["workers"])
    with make_envs(cfg) as envs:
        learner, collector = build(cfg, envs, notify=lambda line: None)
        gc.collect()
        gc.disable()  # which would find them some time later
        try:
            todo.owe(4)
            steps = updates(learner, collector, TrainState(), cfg.total_steps)
            counts = [len(os.listdir("/dev/fd")) for _ in steps]
        finally:
            gc.enable()
    assert todo.owed == 0
    assert counts[-1] == counts[0]


def test_a_worker_that_hangs_costs_its_time_limit_and_nothing_else(todo: Folder) -> None:
    cfg = flaky_config(todo, {"step_timeout": 2.0}, {"fault": "hang"}, **LAYOUTS["workers"])
    whole = trained(cfg, todo, 0)
    weights, steps, metrics, notes = trained(cfg, todo, 1)
    assert torch.equal(weights, whole[0])
    assert (steps, metrics) == whole[1:3]
    assert "did not answer in 2 s" in notes[0]


def test_workers_on_both_sides_of_a_step_may_fail_together(todo: Folder) -> None:
    cfg = flaky_config(todo, {"restarts": 9}, {"age": 1}, **LAYOUTS["workers"])  # in the first step, all of them
    whole = trained(cfg, todo, 0)
    weights, *_ = trained(cfg, todo, 3)
    assert torch.equal(weights, whole[0])


def test_beyond_the_limit_the_failure_ends_the_run_with_its_traceback(todo: Folder) -> None:
    cfg = flaky_config(todo, {"restarts": 1}, {}, **LAYOUTS["sync"])
    with pytest.raises(EnvironmentFailure, match="100 % broken") as caught:
        trained(cfg, todo, 2)
    notes = "\n".join(caught.value.__notes__)
    assert "ZeroDivisionError" in notes
    assert "restarted 1 times within an hour; env.restarts allows no more" in notes


def test_without_restarts_the_first_failure_ends_the_run(todo: Folder) -> None:
    cfg = flaky_config(todo, {"restarts": 0}, {}, **LAYOUTS["workers"])
    with pytest.raises(EnvironmentFailure, match="raised ZeroDivisionError") as caught:
        trained(cfg, todo, 1)
    assert "env.restarts" not in "\n".join(caught.value.__notes__)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_cannot_be_played_again_is_left_out_of_one_rollout(todo: Folder, layout: str) -> None:
    cfg = flaky_config(todo, {}, {"drawn": True}, **LAYOUTS[layout])
    seen: list[Tensor | None] = []
    notes: list[str] = []
    with make_envs(cfg) as envs:
        assert envs.resumes.startswith("all but episodes in flight")
        learner, collector = build(cfg, envs, notify=notes.append)
        todo.owe(1)
        before = TrainState()
        for state in updates(learner, collector, before, cfg.total_steps):
            rollout_steps = state.env_steps - before.env_steps
            before = state
            if rollout_steps < 20:
                seen.append(collector._weight.clone())
    # The shard of the environment that failed: 4 environments in this process alone, else 2.
    lost = 4 if layout == "sync" else 2
    assert len(seen) == 1
    assert seen[0] is not None
    assert seen[0].sum(0).tolist().count(0.0) == lost
    assert seen[0].sum() == 5 * (4 - lost)
    assert any("another episode begins in environment" in note for note in notes)


def test_restarts_count_for_an_hour() -> None:
    now, told = [0.0], []
    restarts = Restarts(2, seed=1, notify=told.append, clock=lambda: now[0])
    failure = EnvironmentFailure("environment 3 raised ValueError in step 7: no; its traceback follows")
    assert restarts.allow(failure)
    now[0] = HOUR / 2
    assert restarts.allow(failure)
    assert not restarts.allow(failure)
    now[0] = HOUR + 1.0  # the first is an hour old
    assert restarts.allow(failure)
    assert not restarts.allow(failure)
    assert told == [
        f"environment 3 raised ValueError in step 7: no; restarted ({k} of 2 in an hour)" for k in (1, 2, 2)
    ]


def test_restarted_episodes_have_seeds_of_their_own() -> None:
    restarts = Restarts(9, seed=1, notify=lambda line: None)
    failure = EnvironmentFailure("environment 3 raised")
    seeds = set()
    for _ in range(3):
        assert restarts.allow(failure)
        seeds.update(restarts.seeds([0, 1, 2]))
    assert len(seeds) == 9
