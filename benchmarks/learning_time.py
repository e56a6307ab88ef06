"""How long the runs that are missing will take: by stored ones of the same task or, where there are none, by speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from processes import measure

from a2c.api import load_config


def measured_seconds(overrides: Sequence[str]) -> float:
    """Seconds of a run, without its evaluations, by the speed of its first moments."""
    found = measure("our_speed.py", *overrides, "threads=1", "vectorization=sync", "--seconds", "2")
    return load_config(*overrides).total_steps / float(found["steps_per_second"])


class Remaining:
    """Counts the runs that are left and says how long they take.

    Args:
        tasks: of each name the overrides, and its stored runs with their `wall_seconds`.
        jobs: runs side by side.
    """

    def __init__(self, tasks: Mapping[str, tuple[Sequence[str], Sequence[Mapping[str, Any]]]], jobs: int) -> None:
        self._overrides = {name: overrides for name, (overrides, _) in tasks.items()}
        self._elsewhere = {name: [run["wall_seconds"] for run in runs] for name, (_, runs) in tasks.items()}
        self._here: dict[str, list[float]] = {}
        self._jobs = jobs

    def measured(self, name: str, seconds: float) -> None:
        """One run of this task took so long, here and now: what was stored, perhaps elsewhere, counts no more."""
        self._here.setdefault(name, []).append(seconds)

    def of(self, missing: Mapping[str, int]) -> str:
        """Says how many runs are missing, each task's number given, and how long they will take."""
        seconds = sum(count * self._run(name) for name, count in missing.items() if count)
        if not (runs := sum(missing.values())):
            return "nothing is left to train"
        return f"{runs} runs are left, about {duration(seconds / self._jobs)}"

    def _run(self, name: str) -> float:
        if not self._elsewhere[name] and name not in self._here:
            self._elsewhere[name] = [measured_seconds(self._overrides[name])]
        return median(self._here.get(name) or self._elsewhere[name])


def duration(seconds: float) -> str:
    """``45 s``, ``12 minutes`` or ``3.4 hours``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
