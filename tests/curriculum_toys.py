"""Environments whose methods a callback calls. Importable in worker processes.

Registered here: ``env.id=curriculum_toys:Ladder-v0``.
"""

from __future__ import annotations

import time
from typing import Any

import gymnasium as gym

from rebuilding_toys import BreakingDice


class Ladder(BreakingDice):
    """A walk by luck and action, pushed by the level at every step; its last info says how it went."""

    def __init__(self, folder: str = ".", at: int = 0, **kwargs: Any) -> None:
        super().__init__(folder, at, **kwargs)
        self.level = self.started = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.started = self.level  # an episode keeps the level that it began with, for its reward
        return super().reset(seed=seed)[0], {"success": -1}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        _, reward, terminated, truncated, _ = super().step(action)
        self.place += 0.1 * self.level
        info = {"success": reward > 1, "level": self.level, "odd": object(), "text": "none", "place": self.place}
        return self._obs(), reward + self.started, terminated, truncated, info

    def harder(self, by: int = 1) -> int:
        """What it does depends on how often it is called."""
        self.level += by
        return self.level

    def itself(self) -> Any:
        return self

    def fall(self) -> None:
        raise ZeroDivisionError("the ladder is too short")

    def wait(self) -> None:
        time.sleep(3600)


class Climb(gym.Wrapper[Any, Any, Any, Any]):
    """A method of a wrapper, which reaches through it."""

    def climb(self) -> int:
        return int(self.get_wrapper_attr("harder")(2))


gym.register("Ladder-v0", lambda **kwargs: Climb(Ladder(**kwargs)))
