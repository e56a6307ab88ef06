"""When an environment fails: name it in one line, and close what is left."""

from __future__ import annotations

import contextlib
import multiprocessing
import warnings
from typing import Any

from gymnasium.vector import AsyncVectorEnv, VectorEnv

from a2c.envs.foreign import close_in_time
from a2c.envs.vector.in_place import StepsInPlace
from a2c.envs.vector.lent import Lent
from a2c.errors import EnvironmentFailure
from a2c.machine.processes.deadline import within
from a2c.machine.processes.failure_report import FOLLOWS, EnvironmentTimeoutError
from a2c.machine.processes.foreign_code import foreign

ASYNC_SECONDS = 10.0  # for processes to close their environments one after the other


def as_failure(error: BaseException, envs: VectorEnv[Any, Any, Any] | None, when: str) -> EnvironmentFailure:
    """Turn whatever a vector environment raised into one line: which environment, what, when.

    The notes of the original (the environment's own traceback from its process) stay with it.

    Args:
        error: what was raised.
        envs: the vector environment that raised it; None while it was being made.
        when: ``reset`` or ``step 18213``, counted in lockstep.
    """
    text = next(iter(str(error).strip().splitlines()), "") or "no message"
    notes = list(getattr(error, "__notes__", ()))
    late = getattr(None if envs is None else envs.unwrapped, "late", None)
    if isinstance(error, multiprocessing.TimeoutError):
        named = isinstance(error, EnvironmentTimeoutError)  # ours says who it was
        missing = [] if late is None or named else late()  # empty if the last one answered meanwhile
        who = "".join(f"environment {index} did not answer: " for index in missing[:1])
        failure = EnvironmentFailure(f"{who}{text.rstrip('.')} ({when})")
    elif notes and notes[0].endswith(FOLLOWS):  # our own vector environment knows more than we do
        failure = EnvironmentFailure(f"{notes.pop(0).removesuffix(FOLLOWS)}: {text}{FOLLOWS}")
    else:
        failure = EnvironmentFailure(f"{_where(envs)} raised {type(error).__name__} in {when}: {text}")
    for note in notes:
        failure.add_note(note)
    return failure


def _where(envs: VectorEnv[Any, Any, Any] | None) -> str:
    """The environments at fault, as far as Gymnasium's AsyncVectorEnv lets us know."""
    base = None if envs is None else envs.unwrapped
    if not isinstance(base, AsyncVectorEnv):
        return "an environment"
    # It drops the pipe of an environment that raised; a process that died has an exit code.
    dropped = [str(i) for i, pipe in enumerate(getattr(base, "parent_pipes", ())) if pipe is None]
    dead = [
        f"{i} (pid {process.pid}, exit code {process.exitcode})"
        for i, process in enumerate(getattr(base, "processes", ()))
        if process.exitcode
    ]
    named = dropped or dead
    return f"environment {', '.join(named)}" if named else "an environment"


def abandon(envs: VectorEnv[Any, Any, Any], seconds: float = 1.0) -> None:
    """Close although an environment hangs: kill its process, or wait for those of this process only so many seconds."""
    if isinstance(envs, Lent):
        return  # whoever made it closes it
    for process in getattr(envs.unwrapped, "processes", ()):
        process.kill()
    with contextlib.suppress(Exception):
        within(seconds, lambda: force_close(envs), lambda: None)


def leave(envs: VectorEnv[Any, Any, Any], terminate: bool) -> None:
    """Close as :func:`close` does or, where a stop has broken into an environment, as :func:`abandon`."""
    if foreign.gave_up:
        abandon(envs)
    else:
        close(envs, terminate)


def close(envs: VectorEnv[Any, Any, Any], terminate: bool = False) -> None:
    """Close in bounded time, whatever it raises, and leave no process; with ``terminate`` without waiting for any."""
    base = envs.unwrapped
    if isinstance(envs, Lent):
        return  # as above
    if terminate:
        force_close(envs)
    elif isinstance(base, StepsInPlace):  # ours, which bound the time of each environment
        envs.close()
    elif isinstance(base, AsyncVectorEnv):
        close_in_time(envs.close, "the environments", ASYNC_SECONDS)
        if not base.closed:
            force_close(envs)
    else:
        close_in_time(envs.close, "the vector environment")


def force_close(envs: VectorEnv[Any, Any, Any]) -> None:
    """Close without waiting, and leave no process, whatever state a failure left behind."""
    base = envs.unwrapped
    if not isinstance(base, AsyncVectorEnv):
        close_in_time(envs.close, "the vector environment")
        return
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")  # we do mean to close while a call is pending
        base.close(terminate=True)
    if not base.closed:  # it asked a dead worker first and gave up
        started = [process for process in base.processes if process.pid is not None]
        for process in started:
            process.kill()
        for process in started:
            process.join()
        for pipe in base.parent_pipes:
            if pipe is not None:
                pipe.close()
        base.closed = True
