"""Run code that may hang, for a limited time."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType


class OutOfTimeError(BaseException):
    """The time is over. No Exception, so that code which catches those does not go on regardless."""


def can_alarm() -> bool:
    """Whether :func:`alarm` can interrupt: Python delivers signals to the main thread alone, and only POSIX has it."""
    return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def alarm(seconds: float | None) -> Iterator[None]:
    """Raise :class:`OutOfTimeError` in what takes longer than ``seconds``, where :func:`can_alarm`; None: never.

    It interrupts Python, not a call into C that does not come back. An alarm that was set before goes on afterwards;
    one that a signal sets meanwhile takes over.
    """
    if seconds is None or not can_alarm():
        yield
        return
    handler, begin = signal.signal(signal.SIGALRM, _ring), time.monotonic()
    left, again = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        try:
            yield
        finally:
            if signal.getsignal(signal.SIGALRM) is _ring:
                signal.setitimer(signal.ITIMER_REAL, 0)  # what rings until here is the caller's to see
    finally:
        mine = signal.getsignal(signal.SIGALRM) is _ring
        if mine:
            signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if mine and left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - begin), 1e-3), again)


def rings(handler: object) -> bool:
    """Whether a handler of SIGALRM is that of an :func:`alarm`."""
    return handler is _ring


def _ring(number: int, frame: FrameType | None) -> None:
    raise OutOfTimeError


def within(seconds: float, work: Callable[[], object], on_timeout: Callable[[], object]) -> None:
    """Do ``work`` in a thread of its own and wait for it.

    Args:
        seconds: how long to wait.
        work: what may hang; its thread is a daemon, so that a hung one does not keep the process from ending.
        on_timeout: called when the time is over, to end what the work waits for.

    Raises:
        TimeoutError: the work did not end in time.
        BaseException: whatever the work raised.
    """
    raised: list[BaseException] = []

    def attempt() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        on_timeout()
        raise TimeoutError(f"no answer in {seconds:g} s")
    if raised:
        raise raised[0]
