"""Groups of environments change when things happen, never what."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch.testing import assert_close

from a2c.api import load_config
from a2c.build import build, make_envs
from a2c.collecting.collector import Collector
from a2c.envs.groups import in_groups
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.spaces import spaces_of
from a2c.envs.vector.inprocess import InProcessVectorEnv
from a2c.errors import ConfigError, EnvironmentFailure, NumericError
from a2c.settings.config import Config
from builders import kept, make_model
from envs.toys import CountingEnv
from faulty import Faulty


def settings(*overrides: str) -> Config:
    return load_config("device=cpu", "wandb.mode=disabled", "gif=false", "num_envs=5", "n_step=4", *overrides)


def rollouts(cfg: Config, count: int = 12) -> list[Any]:
    with make_envs(cfg) as envs:
        learner, collector = build(cfg, envs)
        found = []
        for update in range(count):
            rollout = collector.collect(update)
            found.append(kept(rollout))
            learner.update(rollout, 0)
        episodes = [dataclasses.astuple(episode) for episode in collector.episodes]
    return [found, episodes, learner.weights.detach()]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_mean_return_is_over_the_same_episodes_whatever_the_groups(groups: int) -> None:
    """More episodes end in a rollout than the mean is over: not those of the last group alone count."""
    envs = [partial(CountingEnv, length, "terminated", float(length)) for length in (1, 2, 3, 4)]

    def group(begin: int, count: int) -> LockstepEnvs:
        return LockstepEnvs(
            InProcessVectorEnv(envs[begin : begin + count], autoreset_mode=AutoresetMode.SAME_STEP), first=begin
        )

    groups_of_envs = in_groups(4, groups, group)
    cfg = settings("env=cartpole", "num_envs=4", "n_step=120")
    collector = Collector(groups_of_envs.groups, make_model(groups_of_envs.spaces, cfg), cfg)
    collector.collect(0)
    # Of every 12 steps: 12 episodes of length 1 and return 1, 6 of 2 and 4, 4 of 3 and 9, 3 of 4 and 16; 25 in all.
    # The latest 100 are those of the last 48 steps: (12 + 24 + 36 + 48) / 25 = 4.8 and (12 + 12 + 12 + 12) / 25 = 1.92.
    assert len(collector.episodes) == 100
    expected = {"rollout/episodes": 250, "rollout/ep_rew_mean": 4.8, "rollout/ep_len_mean": 1.92}
    assert collector.metrics() == pytest.approx(expected)


def test_of_more_than_a_hundred_environments_the_mean_is_over_one_episode_each() -> None:
    envs = [partial(CountingEnv, length, "terminated") for length in [1] * 100 + [4] * 100]
    lockstep = LockstepEnvs(InProcessVectorEnv(envs, autoreset_mode=AutoresetMode.SAME_STEP))
    cfg = settings("env=cartpole", "num_envs=200", "n_step=4")
    collector = Collector(lockstep, make_model(spaces_of(lockstep.observation_space, lockstep.action_space), cfg), cfg)
    collector.collect(0)
    # With the last step all environments end: 100 episodes of length 1 and 100 of length 4.
    assert collector.metrics()["rollout/ep_len_mean"] == 2.5


@pytest.mark.parametrize(
    ("vectorization", "memory"), [("sync", "null"), ("sync", "lstm"), ("workers", "gru"), ("async", "null")]
)
@pytest.mark.parametrize("groups", [2, 3])
def test_every_number_of_groups_follows_the_same_trajectories(groups: int, vectorization: str, memory: str) -> None:
    how = (f"vectorization={vectorization}", f"network.memory={memory}")
    cfg = settings("env=cartpole", "env.max_episode_steps=9", "normalize_obs=true", *how)
    expected, episodes, weights = rollouts(cfg)
    found, found_episodes, found_weights = rollouts(dataclasses.replace(cfg, env_groups=groups))
    for one, other in zip(found, expected, strict=True):
        for name in ("actions", "terminated", "truncated", "rewards"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name
        # Values and actions come from batches of other sizes, whose sums may be rounded otherwise.
        assert_close(one.obs, other.obs)
        assert_close(one.final_values, other.final_values)
        assert one.transitions == other.transitions
        if memory != "null":
            assert torch.equal(one.began, other.began)
            assert_close(one.memory, other.memory)
    assert any(bool(rollout.truncated.any()) for rollout in expected)
    assert len(episodes) > 10
    assert [row[1:] for row in found_episodes] == [row[1:] for row in episodes]  # in the same order
    assert_close(found_weights, weights, rtol=1e-4, atol=1e-5)


def test_a_group_begins_while_the_one_before_is_still_stepping(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = settings("env=cartpole", "vectorization=workers", "num_envs=4", "n_step=2", "env_groups=2")
    order: list[tuple[str, int]] = []
    with make_envs(cfg) as envs:
        _, collector = build(cfg, envs)
        for k, group in enumerate(envs.envs.groups):
            for name in ("send", "receive"):
                inner = getattr(group, name)
                monkeypatch.setattr(
                    group, name, lambda *args, name=name, k=k, inner=inner: [order.append((name, k)), inner(*args)][1]
                )
        collector.collect(0)
    begin, between = [("send", 0), ("send", 1)], [("receive", 0), ("send", 0), ("receive", 1), ("send", 1)]
    assert order == [*begin, *between, ("receive", 0), ("receive", 1)]


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ("raise", EnvironmentFailure, "environment 3 "),
        ("nan", NumericError, "environment 3 gave the reward"),
    ],
)
def test_a_failure_in_a_later_group_names_its_environment(fault: str, error: type[Exception], text: str) -> None:
    """Of five environments in two groups the second begins with number 2; its second one is at fault."""
    never = 10**9

    def group(first: int, count: int) -> LockstepEnvs:
        lives = [3 if first + k == 3 else never for k in range(count)]
        env_fns = [partial(Faulty, fault, after) for after in lives]
        return LockstepEnvs(InProcessVectorEnv(env_fns, autoreset_mode=AutoresetMode.SAME_STEP), first=first)

    cfg = settings("env=cartpole", "env_groups=2")
    groups = in_groups(5, 2, group)
    model = make_model(groups.spaces, cfg)
    with pytest.raises(error, match=text):
        Collector(groups.groups, model, cfg).collect(0)
    groups.close(terminate=True)


def test_more_groups_than_environments_are_refused() -> None:
    with pytest.raises(ConfigError, match="env_groups=6 must be at most num_envs=5"):
        settings("env=cartpole", "env_groups=6")
