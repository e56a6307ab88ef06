"""Environments of a user's own: ``env.id=own_toys:Walk``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete


class Walk(gym.Env[Any, Any]):
    """A walk with random pushes to the ends of a corridor; episodes of some ten steps."""

    def __init__(self, width: int = 4) -> None:
        self.observation_space = Box(-1, 1, (2,), np.float32)
        self.action_space = Discrete(2)
        self.width, self.resets = width, [0]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        begin = (options or {}).get("place", int(self.np_random.integers(-1, 2)))
        self.place, self.steps = begin, 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.place += (2 * int(action) - 1) * int(self.np_random.integers(1, 3))
        return self._seen(), float(self.place > 0), abs(self.place) >= self.width, self.steps >= 30, {}

    def _seen(self) -> Any:
        return np.array([np.clip(self.place / self.width, -1, 1), self.steps / 30], np.float32)


class Parts(Walk):
    """The same walk, shown in two parts."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.observation_space = Dict({"late": Discrete(31), "place": Box(-1, 1, (1,), np.float32)})

    def _seen(self) -> Any:
        return {"late": self.steps, "place": np.array([np.clip(self.place / self.width, -1, 1)], np.float32)}


class Repeat(gym.Wrapper[Any, Any, Any, Any]):
    """Takes every action several times."""

    def __init__(self, env: gym.Env[Any, Any], times: int = 2) -> None:
        super().__init__(env)
        self.times = times

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        total = 0.0
        for _ in range(self.times):
            obs, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return obs, total, terminated, truncated, info


def shifted(env: gym.Env[Any, Any], by: float = 1.0) -> gym.Env[Any, Any]:
    """A function that wraps: rewards are higher."""
    return gym.wrappers.TransformReward(env, lambda reward: float(reward) + by)


def nothing(env: gym.Env[Any, Any]) -> None:
    """A function that is no wrapper."""


def wide(**arguments: Any) -> gym.Env[Any, Any]:
    """A function that makes an environment."""
    return Walk(**{"width": 6, **arguments})


def made_here() -> tuple[type[Walk], Callable[..., Walk]]:
    """A class and a function that no import finds."""

    class Local(Walk):
        pass

    return Local, lambda **arguments: Local(**arguments)


make = wide  # of another name than its own
