"""Waiting awake for a moment: a core that goes to sleep takes 50 us and more to wake up again."""

from __future__ import annotations

import select
import time

SPIN = 1e-3  # seconds: about an update of a small network, so that workers are awake when it ends
MOST_SKIPPED = 64  # waits


class SpinWait:
    """Polls for events for a while, before the caller waits for them asleep.

    Where processes hand work to each other many times a millisecond, sleeping costs more than the work. Spinning pays
    only where each process has its own core, and only if events come soon: after two spins in a row without an event,
    the next 2, 4, 8, ... waits skip it, until an event comes in time again.

    Args:
        poller: the descriptors to poll.
        seconds: how long to poll; 0 never does.
    """

    def __init__(self, poller: select.poll, seconds: float) -> None:
        self._poll, self._seconds = poller.poll, seconds
        self._misses = 0  # in a row
        self._skip = 0  # how many of the next waits do not spin

    def __call__(self) -> list[tuple[int, int]]:
        """The events as ``poller.poll`` gives them; none when it is time to sleep."""
        if not self._seconds:
            return []
        if self._skip:
            self._skip -= 1
            return []
        poll, clock = self._poll, time.perf_counter
        end = clock() + self._seconds
        while not (events := poll(0)):
            if clock() >= end:
                self._misses += 1
                self._skip = 0 if self._misses == 1 else min(1 << (self._misses - 1), MOST_SKIPPED)
                return events
        self._misses = 0
        return events
