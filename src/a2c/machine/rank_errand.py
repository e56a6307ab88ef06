"""Work of which each rank does a share, for as long as that takes.

Nobody sums meanwhile, so no sum tells that a rank hangs or was asked to stop. Instead each gives signs of life through
the store; the first rank looks at those of all, the others at its own.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from a2c.errors import RankFailure
from a2c.machine.rank_group import EVERY, Ranks

BEAT = 0.5  # seconds between two signs of life
QUIET = 10.0  # seconds without one that a rank may take once the work is to end: an environment is given 3
EVERY_OF_ONE = 1e-3  # seconds between looks, for each rank to look at
_AT_IT, _DONE, _ALL_DONE = "at it", "done", "all done"


class Errand:
    """One such work.

    Args:
        ranks: all of them.
        number: how many there were before it; the same on every rank.
        stops: whether this rank has been asked to end the run.
        told: called on the first rank with how much all have done so far.

    Attributes:
        off: it is to end early.
        stopped: because a rank has been asked to end the run.
    """

    def __init__(
        self, ranks: Ranks, number: int, stops: Callable[[], bool], told: Callable[[int], object] = lambda done: None
    ) -> None:
        self._ranks, self._stops, self._told = ranks, stops, told
        self._key, self._before = f"errand/{number}", f"errand/{number - 1}"
        self.off = self.stopped = False
        self._state, self._done, self._beats = _AT_IT, 0, 0
        self._next, self._off_since = 0.0, 0.0
        now, watched = time.monotonic(), range(1, ranks.size) if ranks.leads else range(1)
        self._heard: dict[int, tuple[str | None, float]] = dict.fromkeys(watched, (None, now))
        if ranks.leads:
            self._clear()

    def did(self, count: int) -> None:
        """Note that this rank has done so much of its share."""
        self._done = count

    def ends(self) -> bool:
        """Whether to leave the rest of this rank's share. To be asked often, for it is the sign of life.

        Raises:
            RankFailure: another rank has ended, or has given no sign for longer than it may.
        """
        if not self.stopped and self._stops():
            self.stopped = True
            self._ranks.write(f"{self._key}/stop", "")
            self.break_off()
        now = time.monotonic()
        if now >= self._next:
            self._next = now + BEAT
            self._say()
            self._look(now)
        return self.off

    def break_off(self) -> None:
        """Let all ranks leave the rest of their shares."""
        self._ranks.write(f"{self._key}/off", "")
        self._note_off()

    def wait(self) -> None:
        """Say that this rank is done, and wait for all. Then ``off`` and ``stopped`` are the same on every one.

        Raises:
            RankFailure: as :meth:`ends`.
        """
        self._state, self._next = _DONE, 0.0
        while True:
            self.ends()
            self._look(time.monotonic())
            if self._ranks.leads and all(self._says(rank) == _DONE for rank in self._heard):
                self._finish()
                return
            if not self._ranks.leads and self._says(0).startswith(_ALL_DONE):
                self.off, self.stopped = "off" in self._says(0), "stop" in self._says(0)
                return
            time.sleep(max(EVERY, EVERY_OF_ONE * self._ranks.size))

    def _finish(self) -> None:
        """All others are done: tell them how it ended."""
        self.off = self.off or self._ranks.read(f"{self._key}/off") is not None
        self.stopped = self.stopped or self._ranks.read(f"{self._key}/stop") is not None
        self._state = " ".join([_ALL_DONE, *["off"] * self.off, *["stop"] * self.stopped])
        self._say()

    def _say(self) -> None:
        self._beats += 1
        self._ranks.write(f"{self._key}/{self._ranks.rank}", f"{self._state}|{self._done}|{self._beats}")

    def _look(self, now: float) -> None:
        if not self.off and self._ranks.read(f"{self._key}/off") is not None:
            self._note_off()
        for rank in self._heard:
            self._listen(rank, now)
        if self._ranks.leads:
            self._told(self._done + sum(self._done_by(rank) for rank in self._heard))

    def _listen(self, rank: int, now: float) -> None:
        self._ranks.heed(rank)
        before, at = self._heard[rank]
        said = self._ranks.read(f"{self._key}/{rank}")
        if said != before:
            self._heard[rank] = said, now
        elif now - at > self._ranks.timeout:
            raise RankFailure(f"rank {rank} has kept the others waiting for {self._ranks.timeout:g} s (rank_timeout)")
        elif self.off and now - max(at, self._off_since) > QUIET:
            raise RankFailure(f"rank {rank} gives no sign of life, and the ranks are to stop")

    def _says(self, rank: int) -> str:
        return (self._heard[rank][0] or "").partition("|")[0]

    def _done_by(self, rank: int) -> int:
        said = self._heard[rank][0]
        return 0 if said is None else int(said.split("|")[1])

    def _note_off(self) -> None:
        if not self.off:
            self.off, self._off_since = True, time.monotonic()

    def _clear(self) -> None:
        """Delete what was said in the errand before: all have left it, since the first rank has asked again."""
        with contextlib.suppress(RuntimeError):  # a store that cannot delete keeps it
            for name in (*map(str, range(self._ranks.size)), "off", "stop"):
                self._ranks.store.delete_key(f"{self._before}/{name}")
