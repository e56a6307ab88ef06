"""The study itself: it measures, judges, stores and draws one claim after another and writes the report."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from a2c.errors import RunIOError
from a2c.run.showing.figures import duration
from a2c.run.showing.style import save
from a2c.run.stopping import handled
from a2c.storage.atomic import write_text
from a2c.study.claim import Claim
from a2c.study.claims import CLAIMS, load
from a2c.study.machine import describe_machine
from a2c.study.page import Entry, page
from a2c.study.record import Record, as_stored, store, stored
from a2c.study.settings import StudySettings

Tell = Callable[[str], None]


@dataclass(slots=True)
class Outcome:
    """How a study ended."""

    report: Path
    errors: dict[str, Exception] = field(default_factory=dict)  # by the key of the claim that failed
    stopped: str | None = None  # the signal that ended it early


class _Stop(KeyboardInterrupt):
    """A signal, named by its argument, asks the study to end."""


def _stop(name: str) -> None:
    raise _Stop(name)


def study(settings: StudySettings, *, measure: bool = True, tell: Tell = lambda line: None) -> Outcome:
    """Measure claims, one after the other, and write the report of all that the folder holds.

    If a claim fails, the others are still measured. If a signal stops the study, the report still has what was measured
    before. It also has earlier results that the folder holds.

    Args:
        settings: which claims, and how much of them.
        measure: False judges and draws again what the folder holds.
        tell: called with one line whenever something happens.

    Returns:
        The path of the report, what failed, and the signal that stopped the study.

    Raises:
        RunIOError: the folder cannot be read or written.
    """
    with _writing():
        folder = Path(settings.folder)
        folder.mkdir(parents=True, exist_ok=True)
        claims = {key: load(key) for key in CLAIMS}
        records = stored(folder, CLAIMS)
        outcome = Outcome(folder / "report.html")
        asked = [key for key in CLAIMS if not settings.claims or key in settings.claims]
        todo = [claims[key] for key in asked if measure or key in records]
        try:
            with handled(_stop):
                for place, claim in enumerate(todo, 1):
                    tell(f"[{place}/{len(todo)}] {claim.key}: {claim.title}")
                    with _noted(claim.key, outcome, tell):
                        record = _measured(claim, settings) if measure else _judged(claim, records[claim.key])
                        records[claim.key] = record
                        _keep(claim, record, folder)
                        tell(f"      {record.judgement.verdict.value}, measured in {duration(record.seconds)}")
        except _Stop as stop:
            outcome.stopped = str(stop)
            tell(f"stopped by {stop}")
        entries = [Entry(claim, records.get(key), _drawn(folder, key)) for key, claim in claims.items()]
        write_text(outcome.report, page(entries))
    tell(f"report: {outcome.report}")
    return outcome


def _measured(claim: Claim, settings: StudySettings) -> Record:
    started = time.monotonic()
    data = as_stored(claim.measure(settings))
    return Record(
        key=claim.key,
        data=data,
        judgement=claim.judge(data),
        settings={"seeds": settings.seeds, "scale": settings.scale, "seed": settings.seed},
        seconds=round(time.monotonic() - started, 2),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=describe_machine(),
    )


def _judged(claim: Claim, record: Record) -> Record:
    return replace(record, judgement=claim.judge(record.data))


def _keep(claim: Claim, record: Record, folder: Path) -> None:
    """Store and draw a record."""
    figure = _figure(folder, claim.key)
    with _writing():
        store(record, folder)
        figure.unlink(missing_ok=True)  # it may show an older measurement, and drawing may fail
    drawing = claim.draw(record.data)
    with _writing():
        save(drawing, figure)


def _figure(folder: Path, key: str) -> Path:
    return folder / f"{key}.png"


def _drawn(folder: Path, key: str) -> bytes | None:
    path = _figure(folder, key)
    return path.read_bytes() if path.is_file() else None


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunIOError(f"cannot write {error.filename}: {error.strerror or error}") from error


@contextlib.contextmanager
def _noted(key: str, outcome: Outcome, tell: Tell) -> Iterator[None]:
    """Note what goes wrong with a claim and go on; only a folder that cannot be written ends the study."""
    try:
        yield
    except RunIOError:
        raise
    except Exception as error:
        outcome.errors[key] = error
        tell(f"      failed: {type(error).__name__}: {error}")
