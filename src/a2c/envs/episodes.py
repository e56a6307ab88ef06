"""Count returns, lengths and lives of N environments while their episodes run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True)
class Episode:
    """A finished episode: the whole game with raw rewards, whatever the learner sees."""

    env: int
    reward: float
    length: int
    step: int = field(default=0, compare=False)  # of the lockstep, with which it ended
    info: dict[str, Any] = field(default_factory=dict, compare=False)  # the last one, where somebody asked for it


def episode_means(episodes: Collection[Episode], count: int) -> dict[str, float]:
    """Mean return and length of these episodes, absent if there are none, and ``count``, of all so far."""
    found: dict[str, float] = {"rollout/episodes": count}
    if episodes:
        found["rollout/ep_rew_mean"] = float(np.mean([episode.reward for episode in episodes]))
        found["rollout/ep_len_mean"] = float(np.mean([episode.length for episode in episodes]))
    return found


class EpisodeStatistics:
    """Raw returns, summed in float64, and lengths.

    Attributes:
        step: of the lockstep, the latest.
    """

    def __init__(self, num_envs: int) -> None:
        self.num_envs, self.step = num_envs, 0
        self.finished: list[Episode] = []
        self._returns = np.zeros(num_envs, np.float64)
        # The step before the episode's first: cheaper than counting every row at every step.
        self._began = np.zeros(num_envs, np.int64)

    def restart(self) -> None:
        """Forget the episodes in progress; new ones begin with the next step."""
        self._returns[:] = 0.0
        self._began[:] = self.step

    def begin(self, rows: Sequence[int]) -> None:
        """Forget the episodes in progress of these rows; others begin with the next step."""
        self._returns[rows] = 0.0
        self._began[rows] = self.step

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Returns and lengths so far of the episodes in progress, ``[N]`` each."""
        return {"returns": self._returns.copy(), "lengths": self.step - self._began}

    def load(self, rows: NDArray[np.intp], state: Mapping[str, Any]) -> None:
        """Go on with these rows' episodes of a state."""
        self._returns[rows] = np.asarray(state["returns"])[rows]
        self._began[rows] = self.step - np.asarray(state["lengths"])[rows]

    def add(self, rewards: NDArray[np.float64]) -> None:
        """Add the ``[N]`` rewards of the next step."""
        self.step += 1
        self._returns += rewards

    def finish(self, done: NDArray[np.bool_], pause: int, infos: Mapping[int, dict[str, Any]] | None = None) -> None:
        """End the episodes of the rows in ``done`` with the latest step; the next ones begin ``pause`` steps later.

        Args:
            done: ``[N]``.
            pause: in steps.
            infos: their last ones, by row; None: nobody asked.
        """
        step = self.step
        rows = done.nonzero()[0]
        facts = zip(rows.tolist(), self._returns[rows].tolist(), self._began[rows].tolist(), strict=True)
        ended = [Episode(row, total, step - began, step) for row, total, began in facts]
        for episode in ended if infos else ():
            episode.info = infos[episode.env]  # type: ignore[index]
        self.finished.extend(ended)
        self._returns[rows] = 0.0
        self._began[rows] = step + pause

    def drain(self) -> list[Episode]:
        """Episodes finished since the last call, in order of (step, environment)."""
        finished, self.finished = self.finished, []
        return finished


class LifeCounter:
    """Finds lost lives in infos: by ``lives`` (how many are left) or ``life_lost`` (one was lost in this step)."""

    def __init__(self, num_envs: int) -> None:
        self._lives = np.zeros(num_envs, np.int64)

    def restart(self, infos: dict[str, Any]) -> None:
        """Begin anew with the infos of a reset: all games are new."""
        self._lives[:] = 0
        self.lost(infos)

    @property
    def lives(self) -> NDArray[np.int64]:
        """``[N]``, as far as infos told them."""
        return self._lives

    def load(self, rows: NDArray[np.intp], lives: NDArray[np.int64]) -> None:
        """Take over these rows' lives."""
        self._lives[rows] = np.asarray(lives)[rows]

    def lost(self, infos: dict[str, Any]) -> NDArray[np.bool_] | None:
        """Where a life was lost, ``[N]`` bool, None for nowhere; ignore the rows of games that just ended or began."""
        lives = infos.get("lives")
        if lives is None:
            lost: NDArray[np.bool_] | None = infos.get("life_lost")
            return lost
        known = infos.get("_lives", True)  # Gymnasium's mask of the environments that told their lives
        lost = np.less(lives, self._lives) & known
        self._lives = np.where(known, lives, self._lives)
        return lost
