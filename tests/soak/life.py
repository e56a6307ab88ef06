"""What a trainer holds over its life: descriptors, threads, memory, shared memory; and whether any of it grows."""

from __future__ import annotations

import contextlib
import os
import statistics
from dataclasses import astuple, dataclass, fields
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
WARM = 15.0  # seconds after which everything that a trainer needs is there
WINDOW = 6  # samples that make one figure: a fault or an evaluation may be under way in one of them
SHORTEST = 4 * WINDOW  # samples of a warm life that is judged


@dataclass(frozen=True, slots=True)
class Sample:
    """One look."""

    descriptors: float
    threads: float
    megabytes: float  # resident
    shared: float  # files in /dev/shm that it has mapped


SLACK = Sample(descriptors=4, threads=3, megabytes=24, shared=0)  # that each may grow; a leak grows with every fault


class Life:
    """The samples of one trainer, each with its age in seconds."""

    def __init__(self, pid: int) -> None:
        self._proc, self.samples = Path(f"/proc/{pid}"), list[tuple[float, Sample]]()

    def look(self, age: float) -> None:
        """Take a sample, unless it has just ended."""
        with contextlib.suppress(OSError, IndexError, ValueError):
            megabytes = int((self._proc / "statm").read_text().split()[1]) * PAGE / 1e6
            maps = (self._proc / "maps").read_text(errors="replace").splitlines()
            shared = {line.split()[4] for line in maps if "/dev/shm" in line}
            found = (len(list((self._proc / part).iterdir())) for part in ("fd", "task"))
            self.samples.append((age, Sample(*found, megabytes, len(shared))))

    def warm(self) -> list[Sample]:
        return [sample for age, sample in self.samples if age >= WARM]

    def young(self) -> Sample | None:
        """At the same age in every life; None where it did not get that old."""
        return middle(warm[:WINDOW]) if len(warm := self.warm()) >= WINDOW else None

    def growth(self) -> Sample | None:
        """By how much each is more at the end than when it was warm; None for a life too short to tell."""
        warm = self.warm()
        return difference(middle(warm[-WINDOW:]), middle(warm[:WINDOW])) if len(warm) >= SHORTEST else None


def middle(samples: list[Sample]) -> Sample:
    """The median of each."""
    return Sample(*(statistics.median(values) for values in zip(*map(astuple, samples), strict=True)))


def difference(late: Sample, early: Sample) -> Sample:
    return Sample(*(a - b for a, b in zip(astuple(late), astuple(early), strict=True)))


def too_much(growth: Sample) -> list[str]:
    """What has grown by more than its slack, in words."""
    names = [field.name for field in fields(Sample)]
    each = zip(names, astuple(growth), astuple(SLACK), strict=True)
    return [f"{name} grew by {value:g} (at most {slack:g})" for name, value, slack in each if value > slack]
