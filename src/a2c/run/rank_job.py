"""A job that ranks on this machine do together: what they need to know, and what came of it, in files of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a2c.machine.processes.launch import Registered
from a2c.machine.processes.pickles import Pickled, dumps, loads
from a2c.run.summary import Summary
from a2c.settings.config import Config

_JOB, _OUTCOME = "job", "outcome-{rank}"


@dataclass(slots=True)
class Job:
    """A training.

    Attributes:
        cfg: the settings.
        folder: of the run.
        network: makes a network of the user's, or None.
        on_report: the user's callback, or None; the first rank has it.
        registered: environments that the process registered which asks for this.
        paths: where it finds modules.
    """

    cfg: Config
    folder: Path
    network: Pickled
    on_report: Pickled
    registered: Registered
    paths: list[str]


@dataclass(slots=True)
class Outcome:
    """What came of a rank that ended by itself.

    Attributes:
        summary: of the run, from the first rank.
        error: that ended it; None: nothing did.
        first: no other rank had ended before it.
    """

    summary: Summary | None = None
    error: BaseException | None = None
    first: bool = True


def write_job(place: Path, job: Job) -> None:
    """Write a job for :func:`read_job`; ``place`` is a folder that only we can read."""
    (place / _JOB).write_bytes(dumps(job))


def read_job(place: Path) -> Job:
    """The job in a folder."""
    job: Job = loads((place / _JOB).read_bytes())
    return job


def write_outcome(place: Path, rank: int, outcome: Outcome) -> None:
    """Write what came of a rank; an error that cannot travel becomes one with its text."""
    try:
        data = dumps(outcome)
        loads(data)  # an error with a constructor of its own may not come back
    except Exception:
        data = dumps(Outcome(error=RuntimeError(str(outcome.error)), first=outcome.first))
    (place / _OUTCOME.format(rank=rank)).write_bytes(data)


def read_outcomes(place: Path, size: int) -> list[Any]:
    """What came of every rank, in order; None: it did not end by itself."""
    paths = [place / _OUTCOME.format(rank=rank) for rank in range(size)]
    return [loads(path.read_bytes()) if path.is_file() else None for path in paths]
