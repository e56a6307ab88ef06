"""Environments that fail now and then, and work when they are made anew: ``env.id=flaky:Flaky-v0``."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv


class Flaky(CartPoleEnv):
    """CartPole that fails in the step in which an episode is ``age`` steps old, once for every file in ``todo``.

    Args:
        fault: raise, exit, kill or hang.
        todo: a folder; who takes a file out of it, fails.
        age: steps of the episode.
        drawn: noise on observations from a source that nobody seeds, so that no episode can be played again.
    """

    def __init__(self, fault: str = "raise", todo: str = "", age: int = 8, drawn: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._fault, self._todo, self._due, self._age = fault, Path(todo), age, 0
        self._rng = np.random.default_rng() if drawn else None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._age = 0
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._age += 1
        if self._age == self._due and self._takes_one():
            if self._fault == "raise":
                raise ZeroDivisionError("100 % broken")
            if self._fault == "exit":
                raise SystemExit("no license")
            if self._fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(3600)
        obs, reward, *rest = super().step(action)
        if self._rng is not None:
            obs = obs + self._rng.normal(0.0, 1e-3, 4).astype(np.float32)
        return (obs, float(reward), *rest)

    def _takes_one(self) -> bool:
        for file in sorted(self._todo.iterdir()) if self._todo.is_dir() else ():
            try:
                file.unlink()
            except FileNotFoundError:
                continue  # another one was quicker
            return True
        return False


gym.register("Flaky-v0", Flaky, max_episode_steps=40)
