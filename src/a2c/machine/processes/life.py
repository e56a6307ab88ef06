"""The life of a worker process: how it begins, and the protocol by which it answers the main process.

This module imports no torch: the forkserver preloads what workers run, so that they start in milliseconds.

Protocol on the socket to the main process: one byte, then a pickled message where there is more to say. The main
process sends STEP (all data lie in shared memory) or COMMAND + (name, data). A worker answers DONE or RESULT + value;
or it answers FAILED + FailureReport and ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
from multiprocessing.connection import Connection
from typing import Any

from a2c.machine.processes.failure_report import FailureReport
from a2c.machine.processes.life_line import leave_with_parent
from a2c.machine.processes.pickles import dumps

STEP, COMMAND = b"S", b"C"
DONE, RESULT, FAILED = b".", b"R", b"!"


def become_worker(life_line: Connection, parent_pid: int, environ: dict[str, str]) -> None:
    """Make this process a worker, which ends with the main process and leaves signals to it.

    Args:
        life_line: our end of the pipe that closes when the main process ends.
        parent_pid: of the main process.
        environ: replaces all environment variables of this process.
    """
    leave_with_parent(life_line, parent_pid)
    leave_signals_to_parent()
    os.environ.clear()
    os.environ.update(environ)


def leave_signals_to_parent() -> None:
    """Ignore what reaches the whole group, from Ctrl-C, a closed terminal or Slurm: the main process decides."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def answer(pipe: Connection, value: Any) -> None:
    """Send the result of a command; raises what pickling raises, before anything is sent."""
    data = dumps(value)  # before the first byte, so that the worker can still report a failure
    os.write(pipe.fileno(), RESULT)
    pipe.send_bytes(data)


def tell_failure(pipe: Connection, report: FailureReport) -> None:
    """Send a failure report, if the main process still listens."""
    with contextlib.suppress(OSError):
        os.write(pipe.fileno(), FAILED)
        pipe.send_bytes(dumps(report))
