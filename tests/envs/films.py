"""A film of frames that nobody can guess, and the ways to stack them. Importable in worker processes."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

from a2c.envs.single.atari import FrameStack
from a2c.envs.single.wrappers import KeepFinalObservation

SIZE = 36  # the smallest picture for a NatureCNN


class Film(gym.Env[Any, Any]):
    """Shows frames ``[36, 36]`` of noise, which follow from seed and actions; it ends, is cut, loses lives at random.

    Args:
        ends: terminate with this probability at every step.
        cut: truncate likewise.
        dies: lose a life likewise; the film goes on.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, ends: float = 0.1, cut: float = 0.1, dies: float = 0.1) -> None:
        self.observation_space = Box(0, 255, (SIZE, SIZE), np.uint8)
        self.action_space = Discrete(3)
        self.ends, self.cut, self.dies = ends, cut, dies

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._frame(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.np_random.integers(10, size=1 + action)  # another action, another film
        end, cut, dies = self.np_random.random(3)
        info = {"life_lost": True} if dies < self.dies else {}
        return self._frame(), float(self.np_random.normal()), end < self.ends, cut < self.cut, info

    def _frame(self) -> Any:
        return self.np_random.integers(1, 256, (SIZE, SIZE), np.uint8)  # no frame looks like one that is not there


class ZerosFirst(FrameStack):
    """Stacks as ale-py's vector environment does: no frame stands before the first one."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        _, info = super().reset(seed=seed, options=options)
        self._frames[:-1] = 0
        return self._frames.copy(), info


def film(count: int, repeated: bool = True) -> gym.Env[Any, Any]:
    """A film whose observations are stacks of ``count`` frames."""
    return KeepFinalObservation((FrameStack if repeated else ZerosFirst)(Film(), count))
