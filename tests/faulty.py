"""Environments that fail, as a user's own would: ``env.id=faulty:Raises-v0``."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

REWARDS = {"nan": float("nan"), "none": float("nan"), "overflow": 3e38, "double": 1e300}


class Faulty(gym.Env[Any, Any]):
    """Fine for ``after`` steps in all, then ``fault``: raise, hang, or a number that is, or makes, none."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, fault: str, after: int = 40, token: str = "", render_mode: str | None = None) -> None:
        self.observation_space = Box(-1, 1, (2,), np.float32)
        self.action_space = Discrete(2)
        self.fault, self.after, self.steps, self.render_mode = fault, after, 0, render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        reward = 1.0
        if self.steps > self.after:
            if self.fault == "raise":
                raise ZeroDivisionError("the simulator is 100 % broken")
            if self.fault == "hang":
                time.sleep(3600)
            reward = REWARDS.get(self.fault, reward)
        obs = np.zeros(2, np.float32)
        if self.steps > self.after and self.fault == "observation":
            obs[1] = -np.inf
        return obs, reward, False, self.steps % 10 == 0, {}


gym.register("Raises-v0", Faulty, kwargs={"fault": "raise"})
gym.register("NotANumber-v0", Faulty, kwargs={"fault": "nan"})
gym.register("Hangs-v0", Faulty, kwargs={"fault": "hang"})
gym.register("Numbers-v0", Faulty)
