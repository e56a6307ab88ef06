"""LongTMaze-v0: a corridor that only a memory gets right.

A sign at the entrance says where to turn at the end, `length` steps later; on the way there is nothing to see, and
whatever the action, it goes on. Reward 1 for the right turn, else 0, so that the mean return is the share of right
turns: 0.5 without a memory. After Bakker 2001, "Reinforcement learning with long short-term memory".

    PYTHONPATH=benchmarks a2c train env.id=t_maze:LongTMaze-v0 network.memory=lstm n_step=64
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

Seen = NDArray[np.float32]


class TMaze(gym.Env[Seen, np.int64]):
    """The corridor above. It observes (the sign, -1 or 1, at the entrance, else 0; whether this is the end).

    Args:
        length: steps from the entrance to the end.
    """

    observation_space = Box(-1, 1, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, length: int = 20, render_mode: None = None) -> None:
        self.length, self.render_mode = length, render_mode
        self.turn, self.place = 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Seen, dict[str, Any]]:
        super().reset(seed=seed)
        self.turn, self.place = int(self.np_random.integers(2)), 0
        return self._seen(), {}

    def step(self, action: np.int64) -> tuple[Seen, float, bool, bool, dict[str, Any]]:
        if self.place == self.length:
            return self._seen(), float(action == self.turn), True, False, {}
        self.place += 1
        return self._seen(), 0.0, False, False, {}

    def _seen(self) -> Seen:
        sign = 2 * self.turn - 1 if self.place == 0 else 0
        return np.array([sign, self.place == self.length], np.float32)


gym.register("LongTMaze-v0", entry_point=TMaze, reward_threshold=1.0)
