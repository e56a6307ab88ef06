"""A CartPole that takes its time, and tells when it is evaluated: ``env.id=rank_toys:Told-v0``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.classic_control import CartPoleEnv

JUDGED = "judged"  # a file: an episode of an evaluation has begun


class Told(CartPoleEnv):
    """Args:
    folder: for the file ``JUDGED``.
    seeds: of the episodes of evaluations.
    pause: seconds of a step in training.
    judged: of one in an evaluation.
    """

    def __init__(
        self, folder: str, seeds: Sequence[int] = (), pause: float = 0.0, judged: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._folder, self._seeds, self._pauses = Path(folder), set(seeds), (pause, judged)
        self._judged = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._judged = seed in self._seeds
        if self._judged:
            (self._folder / JUDGED).touch()
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        time.sleep(self._pauses[self._judged])
        return super().step(action)


gym.register("Told-v0", Told, max_episode_steps=40)
