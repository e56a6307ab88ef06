"""A measured claim, and the file that keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from a2c.errors import RunIOError
from a2c.storage.atomic import write_text
from a2c.study.claim import Data, Judgement, Number, Verdict


@dataclass(frozen=True, slots=True)
class Record:
    """What was measured of a claim, with which settings, on which machine, and how it was judged."""

    key: str
    data: Data
    judgement: Judgement
    settings: dict[str, Any]  # seeds, scale and seed
    seconds: float
    finished: str  # ISO 8601, UTC
    machine: dict[str, Any]  # as from describe_machine


def as_stored(data: Data) -> Data:
    """``data`` as it comes back from its file, so that it is judged now as it will be later.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value has no form in JSON.
    """
    stored: Data = json.loads(json.dumps(data, allow_nan=False))
    return stored


def store(record: Record, folder: Path) -> Path:
    """Write ``<folder>/<key>.json`` and return its path."""
    judgement = record.judgement
    said = {**asdict(judgement), "verdict": judgement.verdict.value}
    tree = {**asdict(record), "judgement": said}
    order = ("key", "judgement", "settings", "seconds", "finished", "machine", "data")  # the long one last
    text = json.dumps({name: tree[name] for name in order}, indent=1, ensure_ascii=False, allow_nan=False)
    return write_text(folder / f"{record.key}.json", text + "\n")


def stored(folder: Path, keys: Iterable[str]) -> dict[str, Record]:
    """The records in a folder, by key.

    Raises:
        RunIOError: a file is there but holds no record.
    """
    files = {key: folder / f"{key}.json" for key in keys}
    return {key: _read(path) for key, path in files.items() if path.is_file()}


def _read(path: Path) -> Record:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        said = tree["judgement"]
        numbers = [Number(**number) for number in said["numbers"]]
        return Record(**{**tree, "judgement": Judgement(Verdict(said["verdict"]), said["why"], numbers)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunIOError(
            f"cannot read {path} ({type(error).__name__}: {error}); remove it to measure it again"
        ) from error
