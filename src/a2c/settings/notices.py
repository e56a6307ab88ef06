"""One line to the user, beside what a command prints."""

from __future__ import annotations

import contextlib
import sys

_told: set[str] = set()


def tell(line: str) -> None:
    """Write ``line`` to stderr; where nobody listens, to nobody."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or None
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def tell_once(line: str) -> None:
    """:func:`tell`, once per process."""
    if line not in _told:
        _told.add(line)
        tell(line)
