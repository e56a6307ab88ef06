"""Catch-v0: the smallest game that must be learned from pixels, where minutes of an emulator would be too long.

A ball falls from a random column of a 10 x 5 board, one row a step; the paddle in the bottom row stays or moves by one.
Reward 1 for a caught ball, -1 for a missed one, at the end of the 9 steps. The screen is grey, 84 x 84. A player that
moves at random gets about -0.6. After bsuite's catch (Osband et al. 2020), on a screen for the NatureCNN.

    PYTHONPATH=benchmarks a2c train env.id=catch:Catch-v0
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

ROWS, COLUMNS, SIDE = 10, 5, 84
HIGH, WIDE = SIDE // ROWS, SIDE // COLUMNS  # pixels of a cell; the rest of the screen stays black

Screen = NDArray[np.uint8]


class Catch(gym.Env[Screen, np.int64]):
    """The game above. Actions: 0 left, 1 stay, 2 right."""

    observation_space = Box(0, 255, (1, SIDE, SIDE), np.uint8)
    action_space = Discrete(3)

    def __init__(self, render_mode: None = None) -> None:
        self.render_mode = render_mode
        self.row, self.ball, self.paddle = 0, 0, COLUMNS // 2

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Screen, dict[str, Any]]:
        super().reset(seed=seed)
        self.row, self.ball, self.paddle = 0, int(self.np_random.integers(COLUMNS)), COLUMNS // 2
        return self._screen(), {}

    def step(self, action: np.int64) -> tuple[Screen, float, bool, bool, dict[str, Any]]:
        self.paddle = min(max(self.paddle + int(action) - 1, 0), COLUMNS - 1)
        self.row += 1
        landed = self.row == ROWS - 1
        reward = 0.0 if not landed else 1.0 if self.paddle == self.ball else -1.0
        return self._screen(), reward, landed, False, {}

    def _screen(self) -> Screen:
        screen = np.zeros((1, SIDE, SIDE), np.uint8)
        for row, column in ((self.row, self.ball), (ROWS - 1, self.paddle)):
            screen[0, row * HIGH : (row + 1) * HIGH, column * WIDE : (column + 1) * WIDE] = 255
        return screen


gym.register("Catch-v0", entry_point=Catch, reward_threshold=0.95)
