"""``profile=true`` records a trace of a few updates, with the parts of the loop as named ranges."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function, schedule

from a2c.machine.clock import ACT, ENV, EVAL, TRANSFER, UPDATE, Clock

WAIT, WARM_UP, ACTIVE = 10, 3, 5  # updates until libraries and graphs settle, until the profiler does, to record
NAMES = {ENV: "environment", ACT: "acting", TRANSFER: "transfer", UPDATE: "update", EVAL: "evaluation"}
TOP = 4  # operations to name


class Profile:
    """Record a few updates of a run, as soon as it has settled.

    Args:
        path: the trace; gzip if it ends in ``.gz``.
        clock: tells which part of the loop runs; that costs nothing before and after the recording.
        cuda: record what the GPU does too.
        notify: called with one line that says what was found, or why nothing was.
    """

    def __init__(self, path: Path, clock: Clock, cuda: bool, notify: Callable[[str], None]) -> None:
        self.written = False
        self._updates = 0
        self._path, self._clock, self._cuda, self._notify = path, clock, cuda, notify
        self._range: record_function | None = None
        os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # Kineto would write to the terminal
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
        plan = schedule(wait=WAIT, warmup=WARM_UP, active=ACTIVE, repeat=1)
        self._profiler: Any = profile(activities=activities, schedule=plan, on_trace_ready=self._write, acc_events=True)
        self._profiler.start()
        clock.trace = self._enter

    def step(self) -> None:
        """Count an update that has ended."""
        if self._clock.trace is not None:
            self._updates += 1
            self._profiler.step()

    def close(self) -> None:
        """Write what there is, if the run ended before all was recorded."""
        if self._clock.trace is None:
            return
        self._end()
        self._profiler.stop()
        if not self.written:
            self._notify(f"profile=true: no trace, since it needs more than {WAIT + WARM_UP} updates")

    def _enter(self, part: str) -> None:
        self._leave()
        if part in NAMES:
            self._range = record_function(NAMES[part])
            self._range.__enter__()  # type: ignore[no-untyped-call]

    def _leave(self) -> None:
        if self._range is not None:
            self._range.__exit__(None, None, None)
            self._range = None

    def _end(self) -> None:
        self._leave()
        self._clock.trace = None

    def _write(self, profiler: Any) -> None:
        self._end()
        try:
            profiler.export_chrome_trace(str(self._path))
        except (OSError, RuntimeError) as error:
            self._notify(f"profile=true: cannot write {self._path}: {error}")
            return
        self.written = True
        count = self._updates - WAIT - WARM_UP
        self._notify(f"profiled {count} updates; most time: {self._most(profiler.key_averages())}")

    def _most(self, operations: Any) -> str:
        """The operations with the most time, without that of what they call, and their shares; not our own ranges."""
        spent = "self_device_time_total" if self._cuda else "self_cpu_time_total"
        own = {item.key: getattr(item, spent) for item in operations}
        own = {name: time for name, time in own.items() if name not in NAMES.values() and not set("#*") & set(name)}
        total = sum(own.values()) or 1
        longest = sorted(own, key=lambda name: own[name], reverse=True)[:TOP]
        return ", ".join(f"{name} {own[name] / total:.0%}" for name in longest)
