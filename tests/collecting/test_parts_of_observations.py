"""Observations of several parts go from the environments into the rollout, and to the network, part by part."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete
from torch import Tensor, nn

from a2c.collecting.collector import Collector
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.spaces import ObsLeaf
from a2c.envs.vector.inprocess import InProcessVectorEnv
from a2c.errors import NumericError
from a2c.learning.learner import Learner
from a2c.maths.distributions import Categorical
from builders import config, kept


class Walk(gym.Env[Any, Any]):
    """A random walk in three dimensions, truncated after seven steps; shown in one piece or in two."""

    def __init__(self, in_parts: bool, broken: bool = False) -> None:
        whole = Box(-np.inf, np.inf, (3,), np.float32)
        parts = {"here": Box(-np.inf, np.inf, (1,), np.float32), "there": Box(-np.inf, np.inf, (2,), np.float32)}
        self.observation_space = Dict(parts) if in_parts else whole
        self.action_space = Discrete(2)
        self.in_parts, self.broken = in_parts, broken

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.count = np.zeros(3, np.float32), 0
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.at = self.at + self.np_random.normal(size=3).astype(np.float32) * (1 + int(action))
        self.count += 1
        if self.broken and self.count == 5:
            self.at[2] = np.nan
        return self._obs(), float(self.at[0]), False, self.count >= 7, {}

    def _obs(self) -> Any:
        return {"here": self.at[:1].copy(), "there": self.at[1:].copy()} if self.in_parts else self.at.copy()


class Linear(nn.Module):
    """A network for either form, with the same arithmetic."""

    def __init__(self, in_parts: bool) -> None:
        super().__init__()
        here, there = ObsLeaf((1,), "float32"), ObsLeaf((2,), "float32")
        self.spaces: Any = SimpleNamespace(obs={"here": here, "there": there} if in_parts else ObsLeaf((3,), "float32"))
        self.distribution, self.normalizer = Categorical(2), None
        self.params, self.values = nn.Linear(3, 2), nn.Linear(3, 1)
        with torch.no_grad():
            for param in self.parameters():
                param.copy_(torch.linspace(-1, 1, param.numel()).view_as(param))

    def forward(self, obs: Any) -> tuple[Tensor, Tensor]:
        together = torch.cat([obs["here"], obs["there"]], -1) if isinstance(obs, dict) else obs
        return self.params(together), self.values(together).squeeze(-1)

    def policy(self, obs: Any) -> Tensor:
        return self.forward(obs)[0]

    def value(self, obs: Any) -> Tensor:
        return self.forward(obs)[1]

    def describe(self) -> str:
        return "linear"


def envs_of(in_parts: bool, **options: Any) -> LockstepEnvs:
    make = [lambda: Walk(in_parts, **options)] * 3
    return LockstepEnvs(InProcessVectorEnv(make, copy=False, autoreset_mode="SameStep"))


def test_parts_are_what_the_whole_is_and_teach_the_same() -> None:
    cfg = config(num_envs=3, n_step=5, lr=1e-2)
    seen, weights = [], []
    for in_parts in (False, True):
        network, envs = Linear(in_parts), envs_of(in_parts)
        learner, collector = Learner(network, cfg), Collector(envs, network, cfg)
        rollouts = []
        for update in range(4):
            rollout = collector.collect(update)
            if in_parts:
                assert isinstance(rollout.obs, dict)
                obs = torch.cat([rollout.obs["here"], rollout.obs["there"]], -1)
            else:
                assert isinstance(rollout.obs, Tensor)
                obs = rollout.obs.clone()
            copy = kept(rollout) if not in_parts else rollout
            rollouts.append((obs, copy.actions.clone(), copy.rewards.clone(), copy.final_values.clone()))
            learner.update(rollout, 0)
        seen.append(rollouts)
        weights.append(learner.weights.detach().clone())
        envs.close()
    for whole, parts in zip(*seen, strict=True):
        for one, other in zip(whole, parts, strict=True):
            assert torch.equal(one, other)
    assert any(final_values.any() for *_, final_values in seen[0])  # episodes were truncated
    assert torch.equal(weights[0], weights[1])


def test_a_part_that_is_not_finite_is_named() -> None:
    envs = envs_of(in_parts=True, broken=True)
    envs.reset([0, 1, 2])
    for _ in range(4):
        envs.step(np.zeros(3, np.int64))
    with pytest.raises(NumericError, match=r"environment 0 gave the observation .*nan.* in step 5"):
        envs.step(np.zeros(3, np.int64))
    envs.close()
