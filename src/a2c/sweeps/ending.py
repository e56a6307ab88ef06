"""Whether a session of a sweep is to end, and how soon."""

from __future__ import annotations

import threading
from time import monotonic

Urgency = int  # 0: go on; 1: end in order, saved; 2: at once


class Ending:
    """Asked again and again, it says how urgently the session is to end.

    Args:
        hours: after which it ends in order; None: never by the clock.

    Attributes:
        signal: that asked for the end first.
    """

    def __init__(self, hours: float | None = None) -> None:
        self.signal: str | None = None
        self._until = None if hours is None else monotonic() + 3600 * hours
        self._signals = 0
        self._abandoned = False
        self._woken = threading.Event()

    def __call__(self) -> Urgency:
        return min(self._signals, 2) or int(self._abandoned or self.late)

    @property
    def late(self) -> bool:
        """Whether the hours are over."""
        return self._until is not None and monotonic() >= self._until

    def note(self, name: str) -> None:
        """Take a signal: the first ends the session in order, a second at once; a terminal hangs up more than once."""
        if self.signal is None or name != "SIGHUP":
            self._signals += 1
        self.signal = self.signal or name
        self._woken.set()

    def abandon(self) -> None:
        """End in order, since nothing more can be done."""
        self._abandoned = True
        self._woken.set()

    def wait(self, seconds: float) -> None:
        """Wait; a signal cuts it short."""
        self._woken.wait(seconds)
