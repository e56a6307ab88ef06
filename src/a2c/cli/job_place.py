"""The folder of a multirun whose launcher starts jobs in other processes: what they are told, and what they leave.

    runs/.multirun/TIME-PID/        only its user may read it: jobs that a launcher has pickled hold all settings
        order.json                  what every job is told
        command.lock                held by the command for as long as it lives
        stop.json                   from the command: all jobs shall end
        0/  1/  ...                 a place for each job: its run folder, what it prints, how it ended

It goes away with the last job. A job that starts a second time, after Slurm has taken back its node, finds its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from a2c.errors import RunIOError
from a2c.settings.redaction import redact_argument
from a2c.storage.atomic import write_text

MULTIRUNS = ".multirun"  # below runs_dir
LOCK = "command.lock"
OUTPUT, ERRORS = "output.log", "errors.log"  # what a job prints, before and apart from its run folder
CONSOLE = "console.log"  # in the run folder
# How a job's process is told its place and its arguments: others could read those of the process, secrets included.
PLACE, ARGUMENTS = "A2C_JOB_PLACE", "A2C_JOB_ARGUMENTS"
_ORDER, _STOP, _FOLDER, _CODE, _OUTCOME = "order.json", "stop.json", "folder", "code", "outcome.json"


@dataclass(frozen=True, slots=True)
class Order:
    """What every job of a multirun is told.

    Attributes:
        options: of the command line, beside the settings.
        folder: where the command was typed.
        paths: where it finds modules.
        cores: that each job may keep busy; None: all that it finds.
        local: jobs run on this machine, and end with the command.
        full_errors: errors show their tracebacks.
        command: the number of the command's process.
    """

    options: list[str]
    folder: str
    paths: list[str]
    cores: int | None
    local: bool
    full_errors: bool
    command: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended.

    Attributes:
        overrides: that it was started with, without secrets.
        exit_code: of its process.
        seconds: that it took, in its last session.
    """

    overrides: list[str]
    exit_code: int
    seconds: float


def new_place(runs_dir: Path, order: Order) -> Path:
    """Make the folder of a multirun below ``runs_dir``; raises :class:`RunIOError`."""
    place = runs_dir.absolute() / MULTIRUNS / f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{os.getpid()}"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(mode=0o700)
        write_text(place / _ORDER, json.dumps(asdict(order)))
    except OSError as error:
        raise RunIOError(f"cannot make the folder {place}: {error.strerror or error}") from error
    return place


def read_order(place: Path) -> Order:
    """What the jobs of a multirun are told."""
    return Order(**json.loads((place / _ORDER).read_text(encoding="utf-8")))


def ask_to_stop(place: Path, signals: Sequence[str]) -> None:
    """Ask all jobs of a multirun to end, by the first of some signals; by more than one, at once."""
    with contextlib.suppress(OSError):  # nothing is left of it, or the disk is full
        write_text(place / _STOP, json.dumps(list(signals)))


def asked_to_stop(place: Path) -> list[str]:
    """The signals by which a multirun was asked to end; none: it goes on."""
    try:
        return list(json.loads((place / _STOP).read_text(encoding="utf-8")))
    except OSError:
        return []


def note_folder(job: Path, folder: Path) -> None:
    """Note the run folder of a job in its place."""
    write_text(job / _FOLDER, str(folder.absolute()))


def folder_of(job: Path) -> Path | None:
    """The run folder of the job with this place; None: it has none yet."""
    try:
        return Path((job / _FOLDER).read_text(encoding="utf-8"))
    except OSError:
        return None


def note_code(job: Path, code: int | None) -> None:
    """Note the exit code of the process that leads a job; None: it begins."""
    if code is None:
        (job / _CODE).unlink(missing_ok=True)
    else:
        write_text(job / _CODE, str(code))


def noted_code(job: Path) -> int | None:
    """The exit code that the process which leads a job has noted; None: it has not come to that."""
    try:
        return int((job / _CODE).read_text(encoding="utf-8"))
    except OSError:
        return None


def write_outcome(job: Path, overrides: Sequence[str], exit_code: int, seconds: float) -> None:
    """Write how a job ended."""
    outcome = Outcome([redact_argument(text) for text in overrides], exit_code, round(seconds, 1))
    write_text(job / _OUTCOME, json.dumps(asdict(outcome)))


def outcomes_in(place: Path) -> dict[int, Outcome]:
    """How the jobs of a multirun ended that have, by their numbers from 0."""
    found = {}
    for path in place.glob(f"*/{_OUTCOME}"):
        if path.parent.name.isdecimal():
            found[int(path.parent.name)] = Outcome(**json.loads(path.read_text(encoding="utf-8")))
    return dict(sorted(found.items()))
