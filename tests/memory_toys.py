"""A corridor that only a memory gets right: ``env.id=memory_toys:TMaze-v0``."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete


class TMaze(gym.Env[Any, Any]):
    """A sign at the entrance says where to turn at the end: 1 for the right turn, -1 for the wrong one.

    It observes (sign at the entrance, else 0; whether this is the end). Any action before the end goes on.

    Args:
        length: steps from the entrance to the end.

    Source: Bakker 2001, "Reinforcement learning with long short-term memory".
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}

    def __init__(self, length: int = 5, render_mode: str | None = None) -> None:
        self.observation_space, self.action_space = Box(-1, 1, (2,), np.float32), Discrete(2)
        self.length, self.render_mode = length, render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.sign, self.place = int(self.np_random.integers(2)), 0
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.place == self.length:
            return self._obs(), 1.0 if action == self.sign else -1.0, True, False, {}
        self.place += 1
        return self._obs(), 0.0, False, False, {}

    def render(self) -> Any:
        return np.full((32, 32, 3), 40 * self.place, np.uint8)

    def _obs(self) -> Any:
        sign = 2.0 * self.sign - 1.0 if self.place == 0 else 0.0
        return np.array([sign, float(self.place == self.length)], np.float32)


gym.register("TMaze-v0", TMaze)
