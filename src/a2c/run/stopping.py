"""Ctrl-C, SIGTERM, Slurm's SIGUSR1 and a closed terminal (SIGHUP) end a run in order; a second signal at once.

In order: the rollout under way is finished, or dropped if an environment takes too long for it.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from a2c.machine.processes.deadline import outermost
from a2c.machine.processes.foreign_code import break_in, foreign

PATIENCE = 3.0  # seconds that an environment may take after the signal: schedulers kill after 10 or more
AGAIN = 0.25  # and between further attempts: it may have caught the first, or hang again where it is closed
GAVE_UP = f"an environment did not answer within {PATIENCE:g} s; what it was at is dropped"


class StopRequest:
    """Whether a signal has asked the run to end, and which one."""

    def __init__(self) -> None:
        self.signal: str | None = None
        self.at = -math.inf  # when it came, on the monotonic clock

    def ask(self, name: str) -> None:
        """Note that a signal asks for an end."""
        self.signal, self.at = name, time.monotonic()

    def heard(self) -> None:
        """Another rank was asked to end the run, and this one with it; a signal of its own may follow."""
        if self.signal is None:
            self.ask("SIGTERM")

    def __bool__(self) -> bool:
        return self.signal is not None


@contextlib.contextmanager
def stop_on_signals(echo: float = 0.0) -> Iterator[StopRequest]:
    """Note the first signal for the loop to see; let a second one interrupt whatever runs.

    Args:
        echo: seconds in which further signals are the first one again: ranks have it from a terminal or a scheduler
            and from whoever started them.

    If code of others still runs ``PATIENCE`` seconds after the first, :func:`break_in` ends it.

    Outside the main thread Python delivers no signals, so the request never comes. A terminal hangs up more than once
    (the shell and the kernel both say so), so that a later SIGHUP interrupts nothing; where it is ignored (``nohup``),
    it stays so.
    """
    request, foreign.gave_up = StopRequest(), False
    restored = contextlib.ExitStack()

    def handle(name: str) -> None:
        if request:
            if name == "SIGHUP" or time.monotonic() - request.at < echo:
                return
            foreign.gave_up = True  # nothing that is left to close is waited for either
            raise KeyboardInterrupt
        request.ask(name)
        if hasattr(signal, "setitimer"):
            restored.callback(_alarm(PATIENCE, AGAIN))

    with handled(handle), restored:
        yield request


@contextlib.contextmanager
def handled(handle: Callable[[str], None]) -> Iterator[None]:
    """Have ``handle`` called with the name of each signal that asks for an end.

    Outside the main thread Python delivers none. Where SIGHUP is ignored (``nohup``), it stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:
        handle(signal.Signals(number).name)

    with contextlib.ExitStack() as restored:
        for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
                continue
            restored.callback(signal.signal, number, signal.signal(number, handler))
        yield


def _alarm(seconds: float, interval: float) -> Callable[[], None]:
    """Let :func:`break_in` handle an alarm in ``seconds``, and every ``interval`` from then on.

    Returns:
        What gives back the alarm of before: there is one clock for the whole process.
    """
    began, handler = time.monotonic(), signal.signal(signal.SIGALRM, break_in)
    left, every = signal.setitimer(signal.ITIMER_REAL, seconds, interval)
    handler, left, every = outermost(handler, left, every)  # the call of an environment will be over by then

    def give_back() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(1e-3, left - (time.monotonic() - began)), every)

    return give_back
