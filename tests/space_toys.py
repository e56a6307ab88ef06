"""Environments with spaces of many kinds, each solved by reading what it shows.

Registered here: ``env.id=space_toys:Hybrid-v0``.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

EPISODE = 10


class Told(gym.Env[Any, Any]):
    """Tells what to do, and rewards it: 1 for every part of the action that is as told."""

    def __init__(self) -> None:
        self._steps = 0

    def told(self) -> Any:
        raise NotImplementedError

    def score(self, action: Any) -> float:
        raise NotImplementedError

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self.told(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        reward = self.score(action)
        self._steps += 1
        return self.told(), reward, self._steps == EPISODE, False, {}


class Cells(Told):
    """A Discrete observation, a MultiDiscrete action with a start of its own."""

    observation_space = Discrete(6)
    action_space = MultiDiscrete([2, 3], start=[1, 5])

    def told(self) -> Any:
        self.cell = int(self.np_random.integers(6))
        return self.cell

    def score(self, action: Any) -> float:
        return float(action[0] == 1 + self.cell // 3) + float(action[1] == 5 + self.cell % 3)


class Switches(Told):
    """A MultiBinary observation and action: copy it."""

    observation_space = MultiBinary(3)
    action_space = MultiBinary(3)

    def told(self) -> Any:
        self.bits = self.np_random.integers(0, 2, 3).astype(np.int8)
        return self.bits

    def score(self, action: Any) -> float:
        return float((action == self.bits).mean())


class Hybrid(Told):
    """A nested Dict with a text in it, and an action of two kinds."""

    observation_space = Dict({"goal": Tuple((Discrete(3), Box(-1, 1, (1,), np.float64))), "hint": Text(9)})
    action_space = Dict({"kind": Discrete(3, start=-1), "push": Box(-2, 2, (1, 1), np.float64)})

    def told(self) -> Any:
        self.kind, self.push = int(self.np_random.integers(3)), float(self.np_random.uniform(-1, 1))
        return {"goal": (self.kind, np.array([self.push])), "hint": "none"}

    def score(self, action: Any) -> float:
        return float(action["kind"] == self.kind - 1) - abs(float(action["push"][0, 0]) - self.push)


class Legal(Told):
    """Eight actions of which one is legal, as infos, observations or a method tell; it shows nothing else."""

    def __init__(self, where: str = "info") -> None:
        super().__init__()
        self.where = where
        shown = Box(0, 1, (1,), np.float32)
        mask = Box(0, 1, (8,), np.int8)
        self.observation_space = Dict({"obs": shown, "action_mask": mask}) if where == "obs" else shown
        self.action_space = Discrete(8, start=2)
        if where == "method":
            self.action_masks = lambda: self.mask

    def told(self) -> Any:
        self.legal = int(self.np_random.integers(8))
        self.mask = np.zeros(8, np.int8)
        self.mask[self.legal] = 1
        blank = np.zeros(1, np.float32)
        return {"obs": blank, "action_mask": self.mask} if self.where == "obs" else blank

    def score(self, action: Any) -> float:
        assert action == self.legal + 2, "an illegal action"
        return 1.0

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        obs, info = super().reset(**how)
        return obs, info | self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, terminated, truncated, info | self._info()

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self.mask} if self.where == "info" else {}


class Board(Told):
    """A grid of symbols: say which symbol stands in the corner."""

    observation_space = Box(0, 255, (4, 5, 2), np.uint8)
    action_space = Discrete(4)

    def told(self) -> Any:
        board = self.np_random.integers(0, 4, (4, 5, 2)).astype(np.uint8)
        self.corner = int(board[0, 0, 0])
        return board

    def score(self, action: Any) -> float:
        return float(action == self.corner)


class Scene(Told):
    """A grid of symbols beside numbers: say which symbol stands in the corner, and which number is told."""

    observation_space = Dict({"at": Discrete(4), "board": Board.observation_space, "blank": Box(-1, 1, (2,))})
    action_space = MultiDiscrete([4, 4])

    def told(self) -> Any:
        board, self.at = self.np_random.integers(0, 4, (4, 5, 2)).astype(np.uint8), int(self.np_random.integers(4))
        self.symbol = int(board[0, 0, 0])
        return {"at": self.at, "board": board, "blank": np.zeros(2, np.float32)}

    def score(self, action: Any) -> float:
        return (float(action[0] == self.symbol) + float(action[1] == self.at)) / 2


class LegalBoard(Legal):
    """As :class:`Legal`, but it shows a grid of symbols."""

    def __init__(self, where: str = "info") -> None:
        super().__init__(where)
        shown = Board.observation_space
        mask = Box(0, 1, (8,), np.int8)
        self.observation_space = Dict({"obs": shown, "action_mask": mask}) if where == "obs" else shown

    def told(self) -> Any:
        told, board = super().told(), np.full((4, 5, 2), self.legal, np.uint8)
        return {"obs": board, "action_mask": told["action_mask"]} if self.where == "obs" else board


for made in (Cells, Switches, Hybrid, Legal, Board, Scene, LegalBoard):
    gym.register(f"{made.__name__}-v0", entry_point=made)
