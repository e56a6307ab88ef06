"""A small world in pictures, for tests that need an image environment: ``env.id=pictures:Side-v0``."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

SIZE = 36  # pixels a side: the least that nature_cnn takes


class SideEnv(gym.Env[NDArray[np.uint8], np.int64]):
    """Shows a bright square on the left or on the right, uint8 ``[36, 36, 1]``; reward 1 for the action of its side.

    Truncated after ten steps.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = Box(0, 255, (SIZE, SIZE, 1), np.uint8)
        self.action_space = Discrete(2)
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._count = 0
        return self._next(), {}

    def step(self, action: np.int64) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action == self._side)
        self._count += 1
        return self._next(), reward, False, self._count >= 10, {}

    def _next(self) -> NDArray[np.uint8]:
        self._side = int(self.np_random.integers(2))
        row, column = self.np_random.integers(0, (SIZE - 8, SIZE // 2 - 8))
        column += self._side * SIZE // 2
        picture = np.zeros((SIZE, SIZE, 1), np.uint8)
        picture[row : row + 8, column : column + 8] = 200
        return picture


gym.register("Side-v0", SideEnv)
