"""A world with a known answer: reward 1 for ever under a clock has the value 1 / (1 - gamma).

Only a learner that bootstraps where the clock cuts an episode off finds it; where the world really ends, the value is
that of the rewards that are left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from a2c.collecting.collector import Collector
from a2c.collecting.device_collector import DeviceCollector
from a2c.envs.device.lockstep import DeviceEnvs
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.spaces import spaces_of
from a2c.learning.learner import Learner
from a2c.network.actor_critic import ActorCritic
from builders import config
from device_toys import RingDevice

LENGTH, GAMMA, N = 4, 0.9, 4
FOR_EVER = 1 / (1 - GAMMA)  # 10
# What is left of an episode of 4 steps: 1 + 0.9 + 0.81 + 0.729 = 3.439, then 2.71, 1.9 and 1
LEFT = [3.439, 2.71, 1.9, 1.0]
TOLERANCE = 0.02  # of 10
WORLDS = pytest.mark.parametrize(
    ("mode", "gae_lambda"),
    [
        (AutoresetMode.SAME_STEP, 1.0),
        (AutoresetMode.SAME_STEP, 0.9),
        (AutoresetMode.NEXT_STEP, 1.0),
        (AutoresetMode.DISABLED, 1.0),
    ],
)


class Ring(gym.Env[Any, Any]):
    """Walks around LENGTH places, one-hot, reward 1 a step; the world ends after ``ends`` steps, or never."""

    def __init__(self, ends: int | None = None) -> None:
        self.observation_space = Box(0, 1, (LENGTH,), np.float32)
        self.action_space = Discrete(2)
        self.ends = ends

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        return self._obs(), 1.0, self.count == self.ends, False, {}

    def _obs(self) -> np.ndarray:
        return np.eye(LENGTH, dtype=np.float32)[self.count % LENGTH]


def under_a_clock() -> gym.Env[Any, Any]:
    return gym.wrappers.TimeLimit(Ring(), LENGTH)


def mortal() -> gym.Env[Any, Any]:
    return Ring(ends=LENGTH)


def learned_values(make: Callable[[], gym.Env[Any, Any]], mode: AutoresetMode, gae_lambda: float) -> list[float]:
    return values_learned_in(LockstepEnvs(SyncVectorEnv([make] * N, autoreset_mode=mode)), gae_lambda)


def values_learned_in(envs: LockstepEnvs | DeviceEnvs, gae_lambda: float) -> list[float]:
    """Values of the places after training a tabular critic (one-hot in, one layer)."""
    updates, cfg = 250, config(num_envs=N, n_step=3, gamma=GAMMA, gae_lambda=gae_lambda, optimizer="adam", lr=0.2)
    cfg.lr_schedule, cfg.network.hidden_sizes = "linear", []
    cfg.total_steps = updates * cfg.num_envs * cfg.n_step
    model = ActorCritic(spaces_of(envs.observation_space, envs.action_space), cfg.network)
    learner = Learner(model, cfg)
    on_device = isinstance(envs, DeviceEnvs)
    collector = DeviceCollector(envs, model, cfg) if on_device else Collector(envs, model, cfg)
    steps = update = 0
    while steps < cfg.total_steps:
        rollout = collector.collect(update)
        learner.update(rollout, steps)
        steps, update = steps + rollout.transitions, update + 1
    envs.close()
    with torch.no_grad():
        return model.value(torch.eye(LENGTH)).tolist()


@WORLDS
def test_a_clock_does_not_end_the_world(mode: AutoresetMode, gae_lambda: float) -> None:
    assert learned_values(under_a_clock, mode, gae_lambda) == pytest.approx([FOR_EVER] * LENGTH, abs=TOLERANCE)


@WORLDS
def test_after_the_end_of_the_world_there_is_nothing(mode: AutoresetMode, gae_lambda: float) -> None:
    assert learned_values(mortal, mode, gae_lambda) == pytest.approx(LEFT, abs=TOLERANCE)


def test_an_endless_episode_bootstraps_where_the_rollout_ends() -> None:
    assert learned_values(Ring, AutoresetMode.SAME_STEP, 1.0) == pytest.approx([FOR_EVER] * LENGTH, abs=TOLERANCE)


@pytest.mark.parametrize(("mode", "gae_lambda"), [("SameStep", 1.0), ("SameStep", 0.9), ("NextStep", 1.0)])
@pytest.mark.parametrize(("mortal", "expected"), [(False, [FOR_EVER] * LENGTH), (True, LEFT)])
def test_on_the_device_the_horizon_is_the_same(
    mode: str, gae_lambda: float, mortal: bool, expected: list[float]
) -> None:
    envs = DeviceEnvs(RingDevice(N, mortal, mode), torch.device("cpu"))
    assert values_learned_in(envs, gae_lambda) == pytest.approx(expected, abs=TOLERANCE)
