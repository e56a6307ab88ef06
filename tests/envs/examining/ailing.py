"""Environments that each have one thing wrong with them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete


class Sound(gym.Env[Any, Any]):
    """A number near 0 and an action of two; ends at random after about ten steps, cut after a hundred."""

    def __init__(self) -> None:
        self.observation_space: Any = Box(-10, 10, (2,), np.float32)
        self.action_space: Any = Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return self.look(), {}

    def step(self, action: Any) -> Any:
        self.count += 1
        return self.look(), self.reward(action), self.ends(), self.count >= 100, self.info()

    def look(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def reward(self, action: Any) -> float:
        return float(self.np_random.integers(2))

    def ends(self) -> bool:
        return bool(self.np_random.random() < 0.1)

    def info(self) -> dict[str, Any]:
        return {}


class Forgetful(Sound):
    """Draws from a generator of its own, which no seed reaches."""

    generator = np.random.default_rng(0)

    def look(self) -> Any:
        return self.generator.uniform(-1, 1, 2).astype(np.float32)


class Clocked(Sound):
    """Says that it terminated when its time is up."""

    def ends(self) -> bool:
        return self.count >= 20


class Endless(Sound):
    def step(self, action: Any) -> Any:
        return self.look(), self.reward(action), False, False, {}


class Skewed(Sound):
    def look(self) -> Any:
        return np.array([500.0, 0.01], np.float32) * super().look()

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Box(-1000, 1000, (2,), np.float32)


class Symbolic(Sound):
    """A grid of nine cells, each with one of five objects and one of three colours."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Box(0, 255, (3, 3, 2), np.uint8)

    def look(self) -> Any:
        return self.np_random.integers([5, 3], size=(3, 3, 2)).astype(np.uint8)


class Outside(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.observation_space = Box(-0.9, 0.9, (2,), np.float32)


class Constant(Sound):
    def look(self) -> Any:
        return np.array([0.5, super().look()[1]], np.float32)


class Reusing(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.buffer = np.zeros(2, np.float32)

    def look(self) -> Any:
        self.buffer[:] = super().look()
        return self.buffer


class Unrewarding(Sound):
    def reward(self, action: Any) -> float:
        return 0.0


class Generous(Sound):
    def reward(self, action: Any) -> float:
        return 1000.0 * super().reward(action)


class Masked(Sound):
    def info(self) -> dict[str, Any]:
        return {"action_mask": np.ones(2, np.int8)}


class Strong(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.action_space = Box(-300, 300, (1,), np.float32)


class Raising(Sound):
    def step(self, action: Any) -> Any:
        if self.count == 3:
            raise RuntimeError("the gripper is stuck")
        return super().step(action)


for kind in [Sound, *Sound.__subclasses__()]:
    gym.register(f"{kind.__name__}-v0", entry_point=f"{kind.__module__}:{kind.__name__}")
