"""What holds for foreign code whoever calls it: what it may raise, and how long it may take to close."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping

from a2c.errors import A2CError, EnvironmentFailure
from a2c.machine.processes.deadline import OutOfTimeError, alarm, can_alarm, within
from a2c.machine.processes.failure_report import FOLLOWS, text_of
from a2c.machine.processes.foreign_code import GaveUpError
from a2c.settings.notices import tell

CLOSE_SECONDS = 2.0
AT_LEAST = 0.1  # seconds for each environment, where others have used up the time


def users_own(error: BaseException) -> bool:
    """Whether ``error`` is the user's, and not the environment's: a stop that broke in, or Ctrl-C.

    Ctrl-C never is where this process ignores SIGINT. All our workers do, so that there everything that an environment
    raises is its own.
    """
    if isinstance(error, KeyboardInterrupt):
        return signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    return isinstance(error, GaveUpError)


def named_failure(
    error: BaseException, name: str, when: str, kind: Callable[[str], A2CError] = EnvironmentFailure
) -> A2CError:
    """Describe in one line what an environment, or other foreign code, raised in this process.

    Args:
        error: what it raised.
        name: of the environment.
        when: such as ``step 3`` or ``its constructor``.
        kind: of the error.

    Returns:
        The error, with the traceback as a note.
    """
    text = next(iter(text_of(error).strip().splitlines()), "") or "no message"
    who = f"{name} (pid {os.getpid()})"
    failure = kind(f"{who} raised {type(error).__name__} in {when}: {text}{FOLLOWS}")
    failure.add_note("".join(traceback.format_exception(error)))
    return failure


def close_in_time(close: Callable[[], object], name: str, seconds: float = CLOSE_SECONDS) -> None:
    """Close an environment, whatever it raises, and leave it to itself if it takes too long, with one line.

    In the main thread it is interrupted, elsewhere left in a thread of its own. What hangs in C in the main thread
    nobody can interrupt.

    Args:
        close: closes it.
        name: of the environment, for the line.
        seconds: it may take.
    """
    close_all({name: close}, seconds)


def close_all(closes: Mapping[str, Callable[[], object]], seconds: float = CLOSE_SECONDS) -> None:
    """:func:`close_in_time` for several environments by name, which share the time and the line."""
    end = time.monotonic() + seconds
    late = [name for name, close in closes.items() if not _closes(close, max(AT_LEAST, end - time.monotonic()))]
    if late:
        others = f" (nor did {len(late) - 1} others)" if len(late) > 1 else ""
        tell(f"{late[0]} did not close in {seconds:g} s{others}; it is left as it is")


def _closes(close: Callable[[], object], seconds: float) -> bool:
    """Close; returns whether that came back in time."""
    try:
        if can_alarm():
            with alarm(seconds):
                close()
        else:
            within(seconds, close, lambda: None)
    except (OutOfTimeError, TimeoutError):
        return False
    except BaseException as error:  # what it did before counts, and nobody needs it any more
        if users_own(error):
            raise
    return True
