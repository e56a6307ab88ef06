"""The life of a worker process: what it is told and answers, and how it ends.

It imports no torch: the forkserver preloads what workers run, so that they start in milliseconds.

Protocol on the socket to the main process, one byte first, a pickled message behind it where there is more to say:
the main process sends STEP (what to do lies in shared memory) or COMMAND + (name, data); a worker answers DONE,
RESULT + value, or FAILED + FailureReport and leaves.
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
    """Make this process one that lives and dies with the main process ``parent_pid``, in its environment variables."""
    leave_with_parent(life_line, parent_pid)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        # They reach the whole process group (Ctrl-C, Slurm); the main process decides when workers stop.
        signal.signal(number, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environ)


def answer(pipe: Connection, value: Any) -> None:
    """Send what a command came to."""
    data = dumps(value)  # before the first byte: what cannot be pickled is an error of the environment
    os.write(pipe.fileno(), RESULT)
    pipe.send_bytes(data)


def tell_failure(pipe: Connection, report: FailureReport) -> None:
    """Send what went wrong, if the main process still listens."""
    with contextlib.suppress(OSError):
        os.write(pipe.fileno(), FAILED)
        pipe.send_bytes(dumps(report))
