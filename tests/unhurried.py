"""A flaky CartPole that takes its time, until it is told to hurry: ``env.id=unhurried:Unhurried-v0``."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

import gymnasium as gym

from flaky import Flaky


class Unhurried(Flaky):
    """Waits in every step as long as there is no file ``hurry``; fails in worker processes alone, so in training.

    Args:
        hurry: the file.
        pause: seconds of a step.
        kwargs: of :class:`flaky.Flaky`.
    """

    def __init__(self, hurry: str, pause: float = 0.01, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._hurry, self._pause = Path(hurry), pause
        self._worker = multiprocessing.parent_process() is not None

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self._worker and not self._hurry.exists():
            time.sleep(self._pause)
        return super().step(action)

    def _takes_one(self) -> bool:
        return self._worker and super()._takes_one()


gym.register("Unhurried-v0", Unhurried, max_episode_steps=40)
