"""How a failure ends the program: one line on stderr, an exit code, and a traceback only on request."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback

from a2c.errors import STOPPED, A2CError


def exit_code_of(error: BaseException, full: bool) -> int:
    """Print ``error`` to stderr and return its exit code.

    An :class:`A2CError` prints one line and its notes, such as an environment's own traceback. Any other exception is
    a bug and prints its traceback. With ``full`` all of them do.
    """
    with contextlib.suppress(OSError, ValueError):  # nobody can read it: the exit code says it all the same
        _print(error, full)
    if isinstance(error, KeyboardInterrupt):
        return STOPPED["SIGINT"]
    return error.exit_code if isinstance(error, A2CError) else 1


def _print(error: BaseException, full: bool) -> None:
    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    elif full or not isinstance(error, A2CError):
        traceback.print_exception(error, file=sys.stderr)
    else:
        print(" ".join(str(error).split("\n")), file=sys.stderr)
        for note in getattr(error, "__notes__", ()):
            print(note, file=sys.stderr)


def exit_code_of_stop(name: str | None) -> int:
    """The exit code of a run that the signal ``name`` ended in order; 0 for None."""
    return 0 if name is None else STOPPED[name]


def full_errors() -> bool:
    """Whether the user asked for tracebacks."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


def log_failure(error: BaseException) -> None:
    """Put ``error`` with its traceback into the run's train.log."""
    logging.getLogger("a2c").error("%s", error, exc_info=error)
