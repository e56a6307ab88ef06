"""Call a function once, in a process of its own: whatever it does there, this process lives on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from a2c.errors import A2CError
from a2c.machine.processes.failure_report import WorkersError, report_failure
from a2c.machine.processes.launch import Registered, environ_for_workers, multiprocessing_context
from a2c.machine.processes.life import answer, become_worker, tell_failure
from a2c.machine.processes.pickles import Pickled
from a2c.machine.processes.pool import WorkerPool

NO_ENVIRONMENT = -1  # of those in a pool runs, as far as it knows


@dataclass(slots=True)
class Call:
    """All that the process needs to know."""

    function: Pickled  # () -> what the caller wants
    registered: Registered
    environ: dict[str, str]
    parent_pid: int


def call_apart(function: Callable[..., Any], *arguments: Any, timeout: float | None = None) -> Any:
    """``function(*arguments)``, called in a process that ends with it.

    Args:
        function: and what it gets and returns travel as pickles.
        arguments: of the function.
        timeout: seconds that all of it may take; None: no limit.

    Raises:
        EnvironmentFailure: the process died, or the function raised what cannot travel.
        EnvironmentTimeoutError: no answer came in time.
        Exception: what the function raised.
    """
    pool = WorkerPool(multiprocessing_context(None, preload=__name__), False, "apart", np.array([NO_ENVIRONMENT]))
    call = Call(Pickled((function, arguments)), Registered(), environ_for_workers(), os.getpid())
    try:
        pool.start(run_call, call, range(1))
        (result,) = pool.collect(timeout)
    except WorkersError as error:
        raise error.reports[0].exception() from None
    finally:
        pool.stop(ask=False)
    if isinstance(result, A2CError):
        raise result
    return result


def run_call(call: Call, pipe: Connection, life_line: Connection) -> None:
    """Call the function, and answer what it returns or raises."""
    become_worker(life_line, call.parent_pid, call.environ)
    try:
        call.registered.register()
        function, arguments = call.function.open()
        try:
            answer(pipe, function(*arguments))
        except A2CError as error:  # with its notes
            answer(pipe, error)
    except BaseException as error:
        tell_failure(pipe, report_failure(error, 0, 0, os.getpid(), "a process of its own"))
