"""metrics.jsonl: one JSON object a line, appended whole or not at all.

Floats keep full precision. A value that is not finite is written as ``null``, so that every line is valid JSON.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from a2c.errors import RunIOError

METRICS = "metrics.jsonl"
_TAIL = 1 << 16  # bytes: about a hundred rows
log = logging.getLogger("a2c")


class MetricsFile:
    """Append-only file of rows, each with its ``global_step``.

    Args:
        path: the file.
        resume_from: None starts a new file. A number of env steps continues the file that is there and drops the rows
            beyond it, which the resumed run makes again.

    Raises:
        RunIOError: the file cannot be opened, read or cut.
    """

    def __init__(self, path: Path, resume_from: int | None = None) -> None:
        self.path = path
        try:
            # Unbuffered: a row that append() has acknowledged survives any death of this process.
            self._file = open(path, "wb" if resume_from is None else "ab", buffering=0)  # noqa: SIM115
            self._size = 0
            if resume_from is not None:
                self._size = _size_up_to(path, resume_from)
                self._file.truncate(self._size)
        except OSError as error:
            raise self._failure(error) from error

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row; when this returns, it is in the file.

        Raises:
            RunIOError: the row cannot be written; the file then ends with the row before it.
        """
        line = json.dumps({name: plain(value) for name, value in row.items()}, allow_nan=False).encode() + b"\n"
        try:
            written = 0
            while written < len(line):  # a raw write stops short when a disk fills up
                written += self._file.write(line[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
            raise self._failure(error) from error
        self._size += len(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _failure(self, error: OSError) -> RunIOError:
        reason = error.strerror or type(error).__name__
        return RunIOError(f"cannot write {self.path}: {reason}; make room there and continue the run with resume=")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Every complete row; skips lines that are none, such as a last one that a dying process left unfinished."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [row for row in map(_row, lines) if row is not None]


def last_row(path: Path) -> dict[str, Any] | None:
    """The last complete row, read from the end of the file; None if there is none in its last 64 KiB."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        lines = file.read(_TAIL).split(b"\n")[:-1]
    return next((row for row in map(_row, reversed(lines)) if row is not None), None)


def plain(value: Any) -> Any:
    """A JSON value for a number of any library: int, bool, text, finite float or None; or for a list of them."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def _row(line: bytes) -> dict[str, Any] | None:
    """The row in a line; None if it holds something else."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = row.get("global_step") if isinstance(row, dict) else None
    return row if isinstance(step, int | float) and not isinstance(step, bool) else None


def _size_up_to(path: Path, env_steps: int) -> int:
    """Bytes up to the last row before the first whose global_step is over ``env_steps``; what lies between them stays.

    A line that is no row is never ours: it is told, not removed, unless only such lines follow.
    """
    size = end = 0
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        end += len(line)
        row = _row(line)
        if row is None and line.endswith(b"\n"):
            log.warning("%s: line %d is no row of metrics; it is skipped", path, number)
        if row is None or not line.endswith(b"\n"):
            continue
        if row["global_step"] > env_steps:
            break
        size = end
    return size
