"""Where the time of A3C goes, which its workers spend."""

from __future__ import annotations

from collections.abc import Callable

from a2c.machine.clock import LOOP, LoopClock


class TeamClock:
    """The clock of the main process; it divides the time of learning among the parts as the workers spent theirs."""

    def __init__(self, own: LoopClock) -> None:
        self.trace: Callable[[str], None] | None = None
        self._own = own
        self._workers = self._last = dict.fromkeys(LOOP, 0.0)
        self.enter, self.skip, self.settle = own.enter, own.skip, own.settle

    def add(self, seconds: list[dict[str, float]]) -> None:
        """Take over the seconds that each worker has spent in every part since it began."""
        self._workers = {part: sum(worker[part] for worker in seconds) for part in LOOP}

    def shares(self) -> dict[str, float]:
        """As :meth:`LoopClock.shares`."""
        since = {part: self._workers[part] - self._last[part] for part in LOOP}
        self._last = self._workers
        return _divided(self._own.shares(), since)

    def seconds(self) -> dict[str, float]:
        """As :meth:`LoopClock.seconds`."""
        return _divided(self._own.seconds(), self._workers)


def _divided(spent: dict[str, float], workers: dict[str, float]) -> dict[str, float]:
    learning, total = sum(spent[part] for part in LOOP), sum(workers.values())
    return spent | {part: learning * workers[part] / total for part in LOOP} if total else spent
