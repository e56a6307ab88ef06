"""Carry the failure of an environment from its worker to the main process, with its own exception and traceback."""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import TimeoutError as ProcessTimeoutError

from gymnasium import logger

from a2c.errors import EnvironmentFailure
from a2c.machine.processes.pickles import dumps, loads

FOLLOWS = "; its traceback follows"
_LARGEST_EXCEPTION = 1 << 20  # bytes; a bigger one travels as text


class EnvironmentTimeoutError(ProcessTimeoutError, TimeoutError):
    """An environment did not answer in time: Gymnasium's TimeoutError and Python's in one."""


class ContractError(Exception):
    """An environment returned what its spaces or Gymnasium's API do not allow; the text says what."""


@dataclass(frozen=True, slots=True)
class FailureReport:
    """What a worker tells about an environment's exception: plain text, and the exception if it survives pickling."""

    env: int | None  # global index; None when no single environment is at fault
    worker: int | None  # None: the main process itself
    pid: int
    where: str  # "step 18213", "reset", "its constructor", ...
    kind: str  # name of the exception's class
    text: str
    traceback: str
    pickled: bytes | None

    @property
    def who(self) -> str:
        """``environment 3 (worker 1, pid 4242)``."""
        where = "main process" if self.worker is None else f"worker {self.worker}"
        return f"{'a process' if self.env is None else f'environment {self.env}'} ({where}, pid {self.pid})"

    @property
    def line(self) -> str:
        """What happened, in one line that announces the traceback."""
        return f"{self.who} raised {self.kind} in {self.where}{FOLLOWS}"

    def exception(self) -> Exception:
        """The environment's own exception if it can be rebuilt, else an EnvironmentFailure; notes give the rest."""
        error = self._rebuilt()
        if error is None and self.kind == ContractError.__name__:
            return EnvironmentFailure(f"{self.who} {self.text} in {self.where}")
        if error is None:
            error = EnvironmentFailure(f"{self.who} raised {self.kind} in {self.where}: {self.text}")
        # Notes of its own are part of the traceback text, so ours may take their place.
        error.__notes__ = [self.line, self.traceback]
        return error

    def _rebuilt(self) -> Exception | None:
        if self.pickled is None:
            return None
        with contextlib.suppress(Exception):
            error = loads(self.pickled)
            if isinstance(error, Exception) and type(error).__name__ == self.kind and str(error) == self.text:
                return error
        return None


class WorkersError(Exception):
    """One or more environments raised; ``reports`` are ordered by environment."""

    def __init__(self, reports: Sequence[FailureReport]) -> None:
        self.reports = sorted(reports, key=lambda report: -1 if report.env is None else report.env)
        super().__init__(self.reports[0].line)

    def log(self) -> None:
        """Print Gymnasium's error lines; where warnings are errors, they must not replace the exception."""
        with contextlib.suppress(UserWarning):
            for report in self.reports:
                logger.error("%s", f"Received the following error from Worker-{report.env} - Shutting it down")
                logger.error("%s", report.traceback)
            logger.error("%s", "Raising the last exception back to the main process.")


def report_failure(error: BaseException, env: int | None, worker: int | None, pid: int, where: str) -> FailureReport:
    """Describe ``error``, which an environment raised in this process, for the main process.

    Args:
        error: what was raised.
        env: global index of the environment at fault; None if no single one is.
        worker: index of this worker; None in the main process.
        pid: of this process.
        where: such as ``step 18213``, ``reset`` or ``its constructor``.
    """
    trace = "".join(traceback.format_exception(error))
    return FailureReport(env, worker, pid, where, type(error).__name__, text_of(error), trace, _pickled(error))


def text_of(error: BaseException) -> str:
    """The text of ``error``; should that raise, what it raised."""
    try:
        return str(error)
    except Exception as broken:
        return f"(its text cannot be read: {type(broken).__name__})"


def _pickled(error: BaseException) -> bytes | None:
    """The exception as bytes, or None unless unpickling gives back the same.

    We try that here, because an exception whose constructor takes odd arguments fails only in unpickling. SystemExit
    and KeyboardInterrupt of an environment must not end the trainer as if the user had asked for it.
    """
    if not isinstance(error, Exception) or isinstance(error, ContractError):
        return None
    with contextlib.suppress(Exception):
        data = dumps(error)
        copy = loads(data)
        if len(data) <= _LARGEST_EXCEPTION and type(copy) is type(error) and str(copy) == str(error):
            return data
    return None


def how_it_ended(exitcode: int | None) -> str:
    """How a process ended, for a message: ``was killed by SIGKILL`` or ``exited with code 3``."""
    if exitcode is None:
        return "is gone"
    if exitcode >= 0:
        return f"exited with code {exitcode}"
    try:
        name = signal.Signals(-exitcode).name
    except ValueError:
        name = f"signal {-exitcode}"
    hint = " (out of memory?)" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
