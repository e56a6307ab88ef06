"""An environment that hangs where it is told to, and then makes a file: ``env.id=hanging:Hanging-v0``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

from a2c.envs.seeding import EVAL, TRAIN, env_seed

LENGTH = 10  # steps of an episode
HANGS = "hangs"  # the file


class Hanging(gym.Env[Any, Any]):
    """Fine until it hangs for ever.

    Args:
        folder: of the file ``HANGS``.
        where: reset, step (the ``after``-th of an environment in training) or evaluation (the third step of an episode
            of the evaluation with seed 1). It hangs again where it is closed then.
        how: sleep, loop in Python, or stubborn: a loop that catches everything, at first.
        after: steps.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(
        self, folder: str, where: str, how: str = "sleep", after: int = 30, render_mode: str | None = None
    ) -> None:
        self.observation_space, self.action_space = Box(-1, 1, (2,), np.float32), Discrete(2)
        self.folder, self.where, self.how, self.after, self.render_mode = Path(folder), where, how, after, render_mode
        self.steps = self.count = 0
        self.evaluates = self.trains = self.hung = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        if seed is not None:
            self.evaluates = seed in {env_seed(1, EVAL, episode) for episode in range(2)}
            self.trains = seed in {env_seed(1, TRAIN, env) for env in range(8)}  # not in the trial before
        if self.where == "reset" and self.trains:
            self._hang()
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.count += 1
        self.steps += self.trains
        if self.where == "evaluation" and self.evaluates and self.count == 3:
            self._hang()
        if self.where == "step" and self.trains and self.steps == self.after:
            self._hang()
        return np.zeros(2, np.float32), 1.0, False, self.count == LENGTH, {}

    def close(self) -> None:
        if self.hung:
            self._hang()

    def _hang(self) -> None:
        self.hung = True
        (self.folder / HANGS).touch()
        if self.how == "sleep":
            time.sleep(3600)
        caught = self.how != "stubborn"
        while True:
            try:
                sum(range(1000))
            except BaseException:
                if caught:
                    raise
                caught = True


gym.register("Hanging-v0", Hanging)
