"""Where the time of a run goes: a clock that assigns every moment to exactly one part of the loop.

It is the host's clock. On the CPU that is exact. A GPU works on while the host goes ahead: to the host an update seems
to take next to no time, and the wait for it falls into acting. There the clock times one rollout in 64, in which it
waits for the device at the end of every part, and takes that rollout as typical of the others. It may take up to twice
as long where nothing else waits for the device, and hardly longer where acting does anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import torch

ENV, TRANSFER, ACT, UPDATE = LOOP = ("env", "transfer", "act", "update")
EVAL, OTHER = "eval", "other"  # evaluations during training; reports, checkpoints, the screen
PARTS = (*LOOP, EVAL, OTHER)
SAMPLE = 64  # one in so many rollouts is timed, where that means waiting for the device
FIRST = 8  # the first one: by then graphs are captured and libraries have chosen their kernels


class Clock(Protocol):
    """A clock as the run uses it: where the time goes, by part of the loop."""

    trace: Callable[[str], None] | None

    @property
    def enter(self) -> Callable[[str], None]: ...
    @property
    def skip(self) -> Callable[[], None]: ...
    @property
    def settle(self) -> Callable[[], None]: ...
    def shares(self) -> dict[str, float]: ...
    def seconds(self) -> dict[str, float]: ...


class LoopClock:
    """Seconds spent in each part, and their shares.

    Args:
        device: where acting and updates take place.

    Attributes:
        trace: called with the name of every part that begins; None: no profile is being made.
    """

    def __init__(self, device: torch.device) -> None:
        self.trace: Callable[[str], None] | None = None
        self._device = None if device.type == "cpu" else device
        self._rollouts = 0
        self._waits = False  # whether to wait for the device where a part ends
        self._timed = dict.fromkeys(PARTS, 0.0)
        self._untimed = dict.fromkeys(PARTS, 0.0)  # without waiting: only the sum of LOOP means anything
        self._spent = self._timed
        self._part, self._since = OTHER, time.perf_counter()
        self._last = (dict(self._timed), dict(self._untimed))  # at the last call of shares()

    def skip(self) -> None:
        """Drop the time since the last part began; from here on time belongs to OTHER."""
        self._since, self._part = time.perf_counter(), OTHER

    def enter(self, part: str) -> None:
        """From here on time belongs to ``part``."""
        if self._waits:
            _wait_for(self._device)
        now = time.perf_counter()
        self._spent[self._part] += now - self._since
        self._part, self._since = part, now
        if self.trace is not None:
            self.trace(part)

    def begin_rollout(self) -> None:
        """A rollout begins, with acting."""
        if self._device is not None:
            timed = self._rollouts % SAMPLE == FIRST
            if timed:
                self.settle()
            self._waits, self._spent = timed, self._timed if timed else self._untimed
            self._rollouts += 1
        self.enter(ACT)

    def settle(self) -> None:
        """Wait for the device and count that time as the last update's; on the CPU there is nothing to wait for."""
        if self._device is not None:
            self.enter(UPDATE)
            _wait_for(self._device)
            self.enter(OTHER)

    def copy(self, copy: Callable[[], None], within_acting: int) -> None:
        """Copy to the device.

        Args:
            copy: does it, without waiting.
            within_acting: how many such copies are inside acting's graphs, where no clock can look; their time counts
                as TRANSFER, not as ACT.
        """
        self.enter(TRANSFER)
        if self._waits:
            seconds = _device_seconds(copy)
            self._spent[TRANSFER] += within_acting * seconds
            self._spent[ACT] -= within_acting * seconds
        else:
            copy()

    def shares(self) -> dict[str, float]:
        """Share of every part in the time since the last call; together 1."""
        seconds = self._seconds_since(*self._last)
        self._last = (dict(self._timed), dict(self._untimed))
        total = sum(seconds.values()) or 1.0
        return {part: spent / total for part, spent in seconds.items()}

    def seconds(self) -> dict[str, float]:
        """Seconds of every part since the clock began."""
        nothing = dict.fromkeys(PARTS, 0.0)
        return self._seconds_since(nothing, nothing)

    def _seconds_since(self, timed: Mapping[str, float], untimed: Mapping[str, float]) -> dict[str, float]:
        self.enter(self._part)
        sample = {part: self._timed[part] - timed[part] for part in PARTS}
        seconds = {part: sample[part] + self._untimed[part] - untimed[part] for part in PARTS}
        # If no rollout was timed in between, use all that were timed so far; at the very start, the host's view.
        for known in (sample, self._timed, seconds):
            if (measured := sum(known[part] for part in LOOP)) > 0:
                scale = sum(seconds[part] for part in LOOP) / measured
                return seconds | {part: scale * known[part] for part in LOOP}
        return seconds


def _wait_for(device: torch.device | None) -> None:
    (torch.mps if device is not None and device.type == "mps" else torch.cuda).synchronize()


def _device_seconds(work: Callable[[], None]) -> float:
    """Seconds that the device takes for ``work``; waits for the device."""
    begin, end = torch.Event(enable_timing=True), torch.Event(enable_timing=True)
    begin.record()
    work()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000.0
