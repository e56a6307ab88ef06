"""What is counted over N environments while their episodes run: returns, lengths and lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Episode:
    """A finished episode: whole games, raw rewards, whatever the learner is shown."""

    env: int
    reward: float
    length: int


class EpisodeStatistics:
    """Raw returns, summed in float64, and lengths."""

    def __init__(self, num_envs: int) -> None:
        self.finished: list[Episode] = []
        self._returns = np.zeros(num_envs, np.float64)
        # The lockstep before the episode's first: cheaper than counting every row at every step.
        self._began = np.zeros(num_envs, np.int64)

    def restart(self, step: int) -> None:
        """Forget the episodes in progress; new ones begin after lockstep ``step``."""
        self._returns[:] = 0.0
        self._began[:] = step

    def add(self, rewards: NDArray[np.float64]) -> None:
        """Rewards of one lockstep, ``[N]``."""
        self._returns += rewards

    def finish(self, done: NDArray[np.bool_], step: int, pause: int) -> None:
        """Episodes of the rows in ``done`` end with lockstep ``step``; the next ones begin ``pause`` steps later."""
        rows = done.nonzero()[0]
        facts = zip(rows.tolist(), self._returns[rows].tolist(), self._began[rows].tolist(), strict=True)
        self.finished.extend(Episode(row, total, step - began) for row, total, began in facts)
        self._returns[rows] = 0.0
        self._began[rows] = step + pause

    def drain(self) -> list[Episode]:
        """Episodes finished since the last call, in order of (step, environment)."""
        finished, self.finished = self.finished, []
        return finished


class LifeCounter:
    """Where a life was lost, from what infos tell: ``lives`` (how many are left) or ``life_lost`` (only when)."""

    def __init__(self, num_envs: int) -> None:
        self._lives = np.zeros(num_envs, np.int64)

    def restart(self, infos: dict[str, Any]) -> None:
        """All games are new."""
        self._lives[:] = 0
        self.lost(infos)

    def lost(self, infos: dict[str, Any]) -> NDArray[np.bool_] | None:
        """``[N]`` bool, or None for nowhere; rows of games that just ended or began mean nothing."""
        lives = infos.get("lives")
        if lives is None:
            lost: NDArray[np.bool_] | None = infos.get("life_lost")
            return lost
        known = infos.get("_lives", True)  # Gymnasium's mask of the environments that said so
        lost = np.less(lives, self._lives) & known
        self._lives = np.where(known, lives, self._lives)
        return lost
