"""One worker process as the main process sees it: start it, speak to it, learn how it ended."""

from __future__ import annotations

import contextlib
import math
import os
import select
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from gymnasium.vector.utils import clear_mpi_env_vars

from a2c.machine.processes.launch import single_threaded, without_main_module
from a2c.machine.processes.life import COMMAND
from a2c.machine.processes.life_line import hold_alone
from a2c.machine.processes.pickles import dumps_by_value

Target = Callable[[Any, Connection, Connection], None]  # (spec, pipe, life line)


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is there for."""

    target: Target  # a function of a module, which its process imports
    spec: Any  # all that the worker needs to know; it is pickled
    envs: range  # global indices of its environments


@dataclass(slots=True)
class Worker:
    """One worker process and the main process's ends of its pipes."""

    index: int
    job: Job
    process: Any
    pipe: Connection
    life_line: Connection  # its closing tells the worker that this process is gone
    pid: int
    socket: int  # descriptor of ``pipe``
    death: int  # descriptor that turns readable when the process ends
    own_death: bool  # whether ``death`` is ours to close

    @property
    def envs(self) -> range:
        """Global indices of its environments."""
        return self.job.envs

    def __str__(self) -> str:
        envs = f"environment {self.envs[0]}" if len(self.envs) == 1 else f"environments {self.envs[0]}-{self.envs[-1]}"
        return f"worker {self.index} (pid {self.pid}, {envs})"

    def order(self, name: str, data: Any) -> None:
        """Send a command; raises OSError where the process is gone."""
        message = dumps_by_value((name, data))
        os.write(self.socket, COMMAND)
        self.pipe.send_bytes(message)

    def ended(self, patience: float) -> bool:
        """Whether the process ends within so many seconds."""
        poller = select.poll()
        poller.register(self.death, select.POLLIN)
        return bool(poller.poll(math.ceil(patience * 1000)))

    def close(self) -> None:
        """Close the main process's ends, once the process has ended."""
        self.process.join(1.0)
        if self.own_death:
            os.close(self.death)
        self.pipe.close()
        self.life_line.close()


def start_worker(context: Any, name: str, daemon: bool, index: int, job: Job) -> Worker:
    """Start a worker process; returns before it has done anything.

    Args:
        context: of multiprocessing; it makes the process and its pipes.
        name: of the process, before its index.
        daemon: whether it is a daemon.
        index: of the worker.
        job: what it is there for.
    """
    pipe, child_pipe = context.Pipe()
    child_life_line, life_line = context.Pipe(duplex=False)
    hold_alone(pipe, life_line)
    process = context.Process(target=job.target, name=f"{name}-{index}", args=(job.spec, child_pipe, child_life_line))
    process.daemon = daemon
    with clear_mpi_env_vars(), without_main_module(), single_threaded():
        process.start()
    child_pipe.close()
    child_life_line.close()
    death, own = _death_descriptor(process)
    return Worker(index, job, process, pipe, life_line, process.pid, pipe.fileno(), death, own)


def read_byte(descriptor: int) -> bytes:
    """One byte; none where the other end is gone."""
    with contextlib.suppress(OSError):
        return os.read(descriptor, 1)
    return b""


def _death_descriptor(process: Any) -> tuple[int, bool]:
    """What to poll for the end of a process, and whether it is ours to close.

    A pidfd, because the sentinel of a forkserver's child also fires when only the forkserver is killed.
    """
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(process.pid), True
    return process.sentinel, False
