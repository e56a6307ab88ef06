"""Ctrl-C, SIGTERM, Slurm's SIGUSR1 and a closed terminal (SIGHUP) end a run in order; a second signal at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class StopRequest:
    """Whether a signal has asked the run to end, and which one."""

    def __init__(self) -> None:
        self.signal: str | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Note the first signal for the loop to see; let a second one interrupt whatever runs.

    Outside the main thread Python delivers no signals, so the request never comes. A terminal hangs up more than once
    (the shell and the kernel both say so), so that a later SIGHUP interrupts nothing; where it is ignored (``nohup``),
    it stays so.
    """
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if request:
            if signal.Signals(number).name == "SIGHUP":
                return
            raise KeyboardInterrupt
        request.signal = signal.Signals(number).name

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    names = [name for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)]
    if "SIGHUP" in names and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        names.remove("SIGHUP")
    before = {getattr(signal, name): signal.signal(getattr(signal, name), handle) for name in names}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
