"""Run code that may hang, for a limited time."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

# What has the clock of the process now, one in another: its handler, and of before it: handler, seconds left, interval
_timed: list[tuple[Any, Any, float, float]] = []


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
    with _timer(_ring, seconds, 0.0) if seconds is not None and can_alarm() else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def ticking(tick: Callable[[], object], seconds: float = 0.25) -> Iterator[None]:
    """Call ``tick`` every so many seconds, where :func:`can_alarm`; what it raises, it raises in what runs inside."""

    def ring(number: int, frame: FrameType | None) -> None:
        tick()

    with _timer(ring, seconds, seconds) if can_alarm() else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _timer(ring: Callable[[int, FrameType | None], object], seconds: float, interval: float) -> Iterator[None]:
    handler, begin = signal.signal(signal.SIGALRM, ring), time.monotonic()
    left, again = signal.setitimer(signal.ITIMER_REAL, seconds, interval)
    _timed.append((ring, handler, left, again))
    try:
        try:
            yield
        finally:
            if signal.getsignal(signal.SIGALRM) is ring:
                signal.setitimer(signal.ITIMER_REAL, 0)  # what rings until here is the caller's to see
    finally:
        _timed.pop()
        mine = signal.getsignal(signal.SIGALRM) is ring
        if mine:
            signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if mine and left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - begin), 1e-3), again)


def outermost(handler: Any, left: float, again: float) -> tuple[Any, float, float]:
    """The alarm of before all of ours that are under way, for who takes over and gives it back later.

    Args:
        handler: of SIGALRM, which is taken over.
        left: seconds of its timer.
        again: seconds between its alarms.
    """
    return _timed[0][1:] if _timed and handler is _timed[-1][0] else (handler, left, again)


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
