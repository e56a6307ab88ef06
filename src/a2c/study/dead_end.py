"""DeadEnd-v0: a small world with a bait that is easy to find, hard to leave, and worth a quarter of the prize.

    ##############
    #####.......G#    S  the start        G  the prize: 1, and the episode ends
    #$..<S.......#    $  the bait: 0.005 for every step that ends there
    #####........#    <  a one-way door to the west: no way back in the same episode
    ##############

Actions: 0 north, 1 east, 2 south, 3 west; a step into a wall goes nowhere. The observation is the agent's cell, one-hot
over the open cells in reading order. An episode is truncated after 50 steps, so that the bait pays at most 0.235. Only
the policy is random. A uniformly random one ends behind the door in 62 % of its episodes and finds the prize in 11 %.

Train on it with ``env.id=a2c.study.dead_end:DeadEnd-v0``: importing this file registers the id.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import ArrayLike, NDArray

ID = "a2c.study.dead_end:DeadEnd-v0"
MAP = (
    "##############",
    "#####.......G#",
    "#$..<S.......#",
    "#####........#",
    "##############",
)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # north, east, south, west
PRIZE, BAIT, TIME_LIMIT = 1.0, 0.005, 50

CELLS = tuple((row, column) for row, line in enumerate(MAP) for column, mark in enumerate(line) if mark != "#")
BAITED, DOOR, START, GOAL = (next(i for i, (row, column) in enumerate(CELLS) if MAP[row][column] == m) for m in "$<SG")
TRAP = frozenset(range(BAITED, DOOR + 1))  # the cells behind the door, which is one of them


def _after(cell: int, action: int) -> int:
    """The cell that an action leads to."""
    (row, column), (down, right) = CELLS[cell], MOVES[action]
    there = row + down, column + right
    open_to_us = there in CELLS and (cell, there) != (DOOR, CELLS[START])
    return CELLS.index(there) if open_to_us else cell


AFTER = np.array([[_after(cell, action) for action in range(len(MOVES))] for cell in range(len(CELLS))])  # [cells, 4]


class DeadEnd(gym.Env[NDArray[np.float32], np.int64]):
    """The world above; ``cell`` is where the agent stands."""

    def __init__(self, render_mode: None = None) -> None:
        self.render_mode = render_mode  # there is nothing to see
        self.observation_space = Box(0.0, 1.0, (len(CELLS),), np.float32)
        self.action_space = Discrete(len(MOVES))
        self.cell = START

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Back to S. The seed changes nothing here; Gymnasium's own generator takes it."""
        super().reset(seed=seed)
        self.cell = START
        return self._observation(), {}

    def step(self, action: np.int64) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One move."""
        self.cell = int(AFTER[self.cell, action])
        reward = {GOAL: PRIZE, BAITED: BAIT}.get(self.cell, 0.0)
        return self._observation(), reward, self.cell == GOAL, False, {}

    def _observation(self) -> NDArray[np.float32]:
        seen = np.zeros(len(CELLS), np.float32)
        seen[self.cell] = 1.0
        return seen


def fate(policy: ArrayLike) -> tuple[float, float]:
    """The chances that an episode ends with the prize, and behind the door: exact, since the world is known.

    Args:
        policy: ``[cells, 4]``, the probability of each action in each cell.
    """
    chances = np.eye(len(CELLS))[START]
    for _ in range(TIME_LIMIT):
        moving = chances[:, None] * np.asarray(policy, dtype=np.float64)
        moving[GOAL] = 0.0
        chances = np.bincount(AFTER.ravel(), moving.ravel(), len(CELLS)) + chances * (np.arange(len(CELLS)) == GOAL)
    return float(chances[GOAL]), float(chances[list(TRAP)].sum())


gym.register("DeadEnd-v0", entry_point="a2c.study.dead_end:DeadEnd", max_episode_steps=TIME_LIMIT)
