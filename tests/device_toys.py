"""Environments in torch whose every number is known beforehand, for the device collector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor


class DeviceToy(VectorEnv[Any, Any, Any]):
    """Counts the steps of each environment's episode; what is shown and when it ends are the subclass's.

    In SAME_STEP the rows of ``final_obs`` that did not end hold what is no number, as the contract allows.
    """

    def __init__(self, num_envs: int, obs_size: int, mode: str, device: torch.device | str) -> None:
        self.num_envs, self.device = num_envs, torch.device(device)
        self.mode = AutoresetMode(mode)
        self.metadata = {"autoreset_mode": self.mode}
        self.single_observation_space = Box(-np.inf, np.inf, (obs_size,), np.float32)
        self.single_action_space: Any = Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.count = torch.zeros(self.num_envs, device=self.device)
        self.done = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        return self.show(self.count), {}

    def step(self, actions: Any) -> Any:
        assert isinstance(actions, Tensor)
        assert actions.device.type == self.device.type
        same = self.mode is AutoresetMode.SAME_STEP
        resetting = torch.zeros_like(self.done) if same else self.done
        self.count = torch.where(resetting, 0.0, self.count + 1)
        terminated, truncated = self.ends(self.count)
        terminated, truncated = terminated & ~resetting, truncated & ~resetting
        self.done = terminated | truncated
        rewards = self.reward(self.count, actions)
        if not same:
            # The reward of a reset is nobody's: this one would show in the returns.
            return self.show(self.count), torch.where(resetting, 1000.0, rewards), terminated, truncated, {}
        final = torch.where(self.done.unsqueeze(-1), self.show(self.count), torch.nan)
        self.count = torch.where(self.done, 0.0, self.count)
        return self.show(self.count), rewards, terminated, truncated, {"final_obs": final}

    def show(self, count: Tensor) -> Tensor:
        return count.unsqueeze(-1)

    def reward(self, count: Tensor, actions: Tensor) -> Tensor:
        return torch.ones_like(count)

    def ends(self, count: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class CountingDevice(DeviceToy):
    """As ``envs.toys.CountingVectorEnv``: observes its own step number, environment i ends after ``lengths[i]``."""

    def __init__(
        self, lengths: Sequence[int], end: str = "terminated", mode: str = "SameStep", device: str = "cpu"
    ) -> None:
        super().__init__(len(lengths), 1, mode, device)
        self.single_observation_space = Box(0, np.inf, (1,), np.float32)
        self.lengths, self.end = torch.tensor(lengths, device=device), end

    def ends(self, count: Tensor) -> tuple[Tensor, Tensor]:
        over = count >= self.lengths
        never = torch.zeros_like(over)
        return never if self.end == "truncated" else over, never if self.end == "terminated" else over


class RingDevice(DeviceToy):
    """Walks around 4 places, one-hot, reward 1 a step; under a clock of 4 steps, or mortal after as many."""

    def __init__(self, num_envs: int, mortal: bool, mode: str = "SameStep") -> None:
        super().__init__(num_envs, 4, mode, "cpu")
        self.mortal = mortal

    def show(self, count: Tensor) -> Tensor:
        return torch.eye(4)[count.long() % 4]

    def ends(self, count: Tensor) -> tuple[Tensor, Tensor]:
        over = count >= 4
        never = torch.zeros_like(over)
        return (over, never) if self.mortal else (never, over)


class WildDevice(DeviceToy):
    """Rewards that grow with step, action and environment; environments end by termination and truncation in turn."""

    def __init__(self, num_envs: int, mode: str = "SameStep", device: str = "cpu") -> None:
        super().__init__(num_envs, 3, mode, device)
        self.index = torch.arange(num_envs, device=device)

    def show(self, count: Tensor) -> Tensor:
        return torch.stack((count, self.index.to(count.dtype), torch.ones_like(count)), -1)

    def reward(self, count: Tensor, actions: Tensor) -> Tensor:
        return count * 3 - 4 * self.index + actions * 0.5

    def ends(self, count: Tensor) -> tuple[Tensor, Tensor]:
        return (count >= 5) & (self.index % 2 == 0), count >= 3 + self.index % 3


class TargetDevice(DeviceToy):
    """Continuous actions within [-1, 1]: observes the action that it received."""

    def __init__(self, num_envs: int) -> None:
        super().__init__(num_envs, 2, "SameStep", "cpu")
        self.single_action_space = Box(-1.0, 1.0, (2,), np.float32)
        self.received = torch.zeros(num_envs, 2)

    def step(self, actions: Any) -> Any:
        self.received = actions.clone()
        return super().step(actions)

    def show(self, count: Tensor) -> Tensor:
        return self.received

    def ends(self, count: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(self.done), torch.zeros_like(self.done)


class Spoiled(VectorEnv[Any, Any, Any]):
    """An environment whose steps are given on after ``spoil`` has changed them; from step ``at`` on.

    Args:
        envs: the environment.
        spoil: of (obs, rewards, terminated, truncated, infos), gives the same.
        at: counted from 1; 0 spoils the reset too, whose observations it gets with nothing else.
    """

    def __init__(self, envs: DeviceToy, spoil: Callable[[list[Any]], list[Any]], at: int = 1) -> None:
        self.envs, self.spoil, self.at, self.steps = envs, spoil, at, 0
        self.num_envs, self.metadata = envs.num_envs, envs.metadata
        self.single_observation_space = envs.single_observation_space
        self.single_action_space = envs.single_action_space

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        obs, infos = self.envs.reset(seed=seed)
        return (self.spoil([obs, None, None, None, {}])[0] if self.at == 0 else obs), infos

    def step(self, actions: Any) -> Any:
        self.steps += 1
        found = list(self.envs.step(actions))
        return tuple(self.spoil(found)) if self.steps >= self.at else tuple(found)
