"""Is the machine quiet? Other programs distort every figure."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

WATCH = 0.5  # seconds of watching while we do nothing
SPIN = 300_000  # additions of the calibration spin, some 15 ms
OTHERS = 0.1  # share of all cores that others may use
LOST = 0.1  # share of the spin's time that it may have to wait for a core
SLOWER = 0.25  # how much longer than the shortest spin of this run a spin may compute
CPU_TIMES = Path("/proc/stat")


class Quiet:
    """Looks at the machine before each round, keeps what it saw for the record, and warns if it is busy."""

    def __init__(self) -> None:
        self.looks: list[dict[str, Any]] = []
        self._shortest = math.inf

    def look(self) -> None:
        """Look once; print a warning if the machine is busy."""
        load = os.getloadavg()[0]
        others = share_of_others()
        wall, cpu = spin()
        self._shortest = min(self._shortest, cpu)
        reasons = []
        if others is not None and others > OTHERS:
            reasons.append(f"others use {others:.0%} of the cores")
        if wall > cpu * (1 + LOST):
            reasons.append(f"a spin of {cpu * 1e3:.0f} ms waited {(wall - cpu) * 1e3:.0f} ms for a core")
        if cpu > self._shortest * (1 + SLOWER):
            reasons.append(f"a spin took {cpu / self._shortest:.2f} times as long as the shortest")
        if not self.looks and load > 0.5 * (os.cpu_count() or 1):  # later, the load is our own
            reasons.append(f"the load average was {load:.1f} at the start")
        seen = {"load": round(load, 2), "others": others, "spin_ms": cpu * 1e3, "spin_wall_ms": wall * 1e3}
        self.looks.append({**seen, "busy": reasons})
        if reasons:
            print(f"warning: the machine is busy: {'; '.join(reasons)}", flush=True)

    @property
    def busy(self) -> int:
        """How many looks found the machine busy."""
        return sum(bool(look["busy"]) for look in self.looks)


def spin() -> tuple[float, float]:
    """Wall seconds and CPU seconds of a fixed piece of work: the shortest of three."""
    times = []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.thread_time()
        total = 0
        for k in range(SPIN):
            total += k
        times.append((time.perf_counter() - wall, time.thread_time() - cpu))
    return min(times)


def share_of_others() -> float | None:
    """Share of all cores in use while this process sleeps; None where the system does not say."""
    before = _cpu_times()
    time.sleep(WATCH)
    after = _cpu_times()
    if before is None or after is None or sum(after) <= sum(before):
        return None
    passed = [b - a for a, b in zip(before, after, strict=True)]
    idle = passed[3] + passed[4]  # idle, and waiting for a disk
    return 1 - idle / sum(passed)


def _cpu_times() -> list[int] | None:
    """Ticks as user, nice, system, idle, iowait, irq, softirq, steal."""
    if not CPU_TIMES.exists():
        return None
    return [int(field) for field in CPU_TIMES.read_text().splitlines()[0].split()[1:9]]
