"""``log_info``: means over finished episodes of what their last infos say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from a2c.envs.episodes import Episode

PREFIX = "episode/"


class InfoMeans:
    """Sums up the infos of episodes until the next report.

    Args:
        keys: of the infos.
        tell: called with one line about a key that no episode has, or that holds no number; once each.
    """

    def __init__(self, keys: Sequence[str], tell: Callable[[str], object]) -> None:
        self.keys, self._tell = keys, tell
        self._sums: dict[str, list[float]] = {}  # key -> sum, and over how many episodes
        self._episodes = 0
        self._said: set[str] = set()

    def add(self, episodes: Iterable[Episode]) -> None:
        """Add episodes that have ended."""
        for episode in episodes:
            self._episodes += 1
            for key in self.keys:
                if key in episode.info:
                    self._add(key, episode.info[key])

    def add_sums(self, sums: Mapping[str, tuple[float, int]], episodes: int) -> None:
        """Add episodes by the sums of their numbers: of each key, over how many of them."""
        self._episodes += episodes
        for key, (total, count) in sums.items():
            if count:
                before = self._sums.setdefault(key, [0.0, 0])
                before[0], before[1] = before[0] + total, before[1] + count

    def report(self) -> dict[str, float]:
        """Means since the last call, as ``episode/KEY``, each over the episodes that have the key."""
        if self._episodes:
            for key in self.keys:
                if key not in self._sums:
                    self._say(key, f"log_info: no last info of {self._episodes} episodes has the key {key!r}")
        means = {f"{PREFIX}{key}": total / count for key, (total, count) in self._sums.items() if count}
        self._sums, self._episodes = {}, 0
        return means

    def state_dict(self) -> dict[str, Any]:
        """What it has summed up since the last report."""
        return {"sums": {key: list(sums) for key, sums in self._sums.items()}, "episodes": self._episodes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self._sums = {key: list(sums) for key, sums in state["sums"].items() if key in self.keys}
        self._episodes = state["episodes"]

    def _add(self, key: str, value: Any) -> None:
        number = value.item() if getattr(value, "size", 0) == 1 else value  # an array with one number
        if not isinstance(number, int | float):
            self._sums.setdefault(key, [0.0, 0])
            self._say(key, f"log_info: {key!r} of the last infos is a {type(value).__name__}, no number")
            return
        sums = self._sums.setdefault(key, [0.0, 0])
        sums[0] += number
        sums[1] += 1

    def _say(self, key: str, line: str) -> None:
        if key not in self._said:
            self._said.add(key)
            self._tell(line)
