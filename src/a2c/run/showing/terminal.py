"""The terminal behind a stream, if there is one; and a stream that has gone away falls silent."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TextIO

from rich.console import Console, ConsoleDimensions


def terminal_on(stream: TextIO | None) -> Console | None:
    """The terminal that a stream writes to, where it can redraw lines and show box characters; else None.

    Args:
        stream: None: the process has none.
    """
    if stream is None:
        return None
    encoding = (getattr(stream, "encoding", None) or "").lower().replace("-", "")
    if not stream.isatty() or encoding != "utf8" or os.environ.get("TERM", "") in ("dumb", "unknown"):
        return None
    return _Terminal(file=stream, highlight=False, markup=False, emoji=False)


def silence(stream: TextIO) -> None:
    """Let later writes and the flush at exit go nowhere instead of failing."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Guard:
    """Does what writes to a stream, for as long as the stream is there.

    Args:
        stream: that is written to.

    Attributes:
        muted: it has gone away.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.muted = stream, False

    def __call__(self, write: Callable[[], object]) -> None:
        """Write; whatever becomes of the stream, nothing is raised."""
        if self.muted:
            return
        try:
            write()
        except BlockingIOError:  # a busy terminal loses this line, not the rest
            pass
        except (OSError, ValueError):  # a closed pipe, terminal or file
            self.muted = True
            silence(self._stream)


class _Terminal(Console):
    @property  # type: ignore[misc]  # nobody sets the size of this one
    def size(self) -> ConsoleDimensions:
        """Size of the terminal that we write to; rich would ask standard input first."""
        with contextlib.suppress(OSError, ValueError):
            columns, lines = os.get_terminal_size(self.file.fileno())
            if columns and "COLUMNS" not in os.environ:
                return ConsoleDimensions(columns, lines)
        return super().size
