"""Code of others may hang. While it runs here, or is waited for, and only then, may a stop break into it.

So a run that is to end neither waits for ever nor breaks off an update or a save. Who calls that code says so
(:func:`of_others`); who wants to end it (:mod:`a2c.run.stopping`) asks ``foreign.runs`` first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")


class GaveUpError(BaseException):
    """Raised in the middle of an environment's code, which may catch every ``Exception``; what it was at is lost."""


class _Foreign(threading.local):
    """What a thread is at; signals come to the main one alone, but others may train beside it.

    Attributes:
        runs: it is in code of others, or waits for a process that is.
        gave_up: a stop has broken into it; what is left there is not waited for any more.
    """

    def __init__(self) -> None:
        self.runs = self.gave_up = False


foreign = _Foreign()


def of_others(call: Callable[P, Result], *arguments: P.args, **named: P.kwargs) -> Result:
    """Call what is code of others, or waits for it; returns and raises what it does, and :class:`GaveUpError`.

    Code of others may call code of others: an evaluation's loop, which is in here, a network of the user's.
    A signal is handled after a call or at a jump, so never between the end of ``call`` and the last line here.
    """
    before = foreign.runs
    try:
        foreign.runs = True
        return call(*arguments, **named)
    finally:
        foreign.runs = before


def of_ours(call: Callable[P, Result], *arguments: P.args, **named: P.kwargs) -> Result:
    """Within code of others, call what no stop may break into; returns and raises what it does."""
    before = foreign.runs
    try:
        foreign.runs = False
        return call(*arguments, **named)
    finally:
        foreign.runs = before


def break_in(*_: Any) -> None:
    """Raise :class:`GaveUpError` if code of others runs; a signal handler, for the main thread."""
    if foreign.runs:
        foreign.gave_up = True
        raise GaveUpError
