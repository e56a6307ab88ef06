"""The episodes that end, for whoever looks at a run: a callback sees each, ``log_info`` means of their last infos."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from a2c.collecting.info_means import InfoMeans
from a2c.envs.episodes import Episode
from a2c.errors import ConfigError
from a2c.storage.plain_data import packed, unpacked


class EndedEpisodes:
    """Keeps nothing until it is asked to.

    Args:
        keys: of the infos that ``log_info`` names.
        note: has the environments tell these keys of last infos, None: all; the constructor calls it if there are any.
        tell: called with one line about a key that makes no mean.
        lacking: why single episodes are not known; empty: they are.
    """

    def __init__(
        self,
        keys: Sequence[str],
        note: Callable[[Sequence[str] | None], None],
        tell: Callable[[str], object],
        lacking: str = "",
    ) -> None:
        self._note, self._lacking = note, lacking
        self._means = InfoMeans(keys, tell)
        self._kept: list[Episode] | None = None
        if keys:
            note(keys)

    def keep(self, keys: Sequence[str] | None = None) -> None:
        """From now on keep them, with what is plain data of their last infos: these keys; None: all."""
        if not self._lacking:
            self._kept = []
            self._note(keys)

    def kept(self) -> list[Episode]:
        """Those since the last :meth:`forget`, as they ended; raises ConfigError if none is known."""
        if self._lacking:
            raise ConfigError(self._lacking)
        return [] if self._kept is None else list(self._kept)

    def forget(self) -> None:
        """They have been seen."""
        if self._kept is not None:
            self._kept = []

    def add(self, episodes: Sequence[Episode]) -> None:
        """These have ended."""
        if self._means.keys:
            self._means.add(episodes)
        if self._kept is not None:
            self._kept += episodes

    def add_sums(self, sums: Mapping[str, tuple[float, int]], episodes: int) -> None:
        """So many have ended, of which nothing is known but these sums: of each key, over how many episodes."""
        self._means.add_sums(sums, episodes)

    def report(self) -> dict[str, float]:
        """As :meth:`InfoMeans.report`."""
        return self._means.report() if self._means.keys else {}

    def state_dict(self) -> dict[str, Any]:
        """What a report to come needs; empty where nobody looks."""
        means = {"means": self._means.state_dict()} if self._means.keys else {}
        if not self._kept:
            return means
        return {**means, "kept": packed([[one.env, one.reward, one.length, one.info] for one in self._kept])}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        if "means" in state:
            self._means.load_state_dict(state["means"])
        if self._kept is not None and "kept" in state:
            self._kept = [
                Episode(env, reward, length, info=info) for env, reward, length, info in unpacked(state["kept"])
            ]
