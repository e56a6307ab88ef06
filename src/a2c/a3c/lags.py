"""How old gradients are when they land: counts of pushes by their lag."""

from __future__ import annotations

from typing import Any

import numpy as np

MOST_LAG = 63  # of the histogram; its last cell holds this lag and more


class Lags:
    """Sums up the lags of pushes until they are reported."""

    def __init__(self) -> None:
        self._counts = np.zeros(MOST_LAG + 1, np.int64)
        self._sum = self._max = 0

    def add(self, lag: int) -> None:
        """A push had this lag."""
        self._counts[min(lag, MOST_LAG)] += 1
        self._sum, self._max = self._sum + lag, max(self._max, lag)

    def merge(self, other: Lags) -> None:
        """Add those of another."""
        self._counts += other._counts
        self._sum, self._max = self._sum + other._sum, max(self._max, other._max)

    def report(self) -> dict[str, Any]:
        """Mean, maximum, and pushes by lag 0, 1, ... since the last call; empty where there were none."""
        pushes, found = int(self._counts.sum()), {}
        if pushes:
            found = {"train/lag_mean": self._sum / pushes, "train/lag_max": self._max}
            found["train/lag_histogram"] = self._counts[: min(self._max, MOST_LAG) + 1].tolist()
        self._counts[:] = self._sum = self._max = 0
        return found

    def state_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"counts": self._counts.tolist(), "sum": self._sum, "max": self._max}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self._counts[:], self._sum, self._max = state["counts"], state["sum"], state["max"]
