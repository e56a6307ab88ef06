"""Run code that may hang, for a limited time."""

from __future__ import annotations

import threading
from collections.abc import Callable


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
