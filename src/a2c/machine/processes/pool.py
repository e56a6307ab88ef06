"""The worker processes as the main process sees them: start them, signal them, wait for them, end them."""

from __future__ import annotations

import contextlib
import math
import os
import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from gymnasium.vector.utils import clear_mpi_env_vars

from a2c.errors import EnvironmentFailure
from a2c.machine.processes.failure_report import EnvironmentTimeoutError, FailureReport, WorkersError, how_it_ended
from a2c.machine.processes.launch import single_threaded, without_main_module
from a2c.machine.processes.life import COMMAND, DONE, FAILED, RESULT, STEP
from a2c.machine.processes.life_line import hold_alone
from a2c.machine.processes.pickles import dumps_by_value, loads
from a2c.machine.processes.spin import SpinWait

GATHER = 0.2  # seconds to wait for further failures once one is known
_TICK = 250  # milliseconds


@dataclass(slots=True)
class Worker:
    """One worker process and the main process's ends of its pipes."""

    index: int
    envs: range  # global indices
    process: Any
    pipe: Connection
    life_line: Connection  # its closing tells the worker that this process is gone
    pid: int
    socket: int  # descriptor of ``pipe``
    death: int  # descriptor that turns readable when the process ends
    own_death: bool  # whether ``death`` is ours to close

    def __str__(self) -> str:
        envs = f"environment {self.envs[0]}" if len(self.envs) == 1 else f"environments {self.envs[0]}-{self.envs[-1]}"
        return f"worker {self.index} (pid {self.pid}, {envs})"


class WorkerPool:
    """K worker processes; every wait notices a dead one at once, even while it waits for a slow one.

    Args:
        context: of multiprocessing; it makes the processes and pipes.
        daemon: whether the workers are daemons.
        name: of the processes, before their index.
        current: ``[K or more]`` int64, the environment that each worker runs now; negative: none.
        spin: seconds to wait awake for answers.
    """

    def __init__(self, context: Any, daemon: bool, name: str, current: Any, spin: float = 0.0) -> None:
        self.workers: list[Worker] = []
        self._context = context
        self._daemon = daemon
        self._name = name
        self._current = current
        self._poller = select.poll()
        self._spin = SpinWait(self._poller, spin)
        self._by_socket: dict[int, Worker] = {}
        self._by_death: dict[int, Worker] = {}

    def start(self, target: Callable[[Any, Connection, Connection], None], spec: Any, envs: range) -> None:
        """Start the next worker, which runs ``target(spec, pipe, life_line)``; returns before its environments exist.

        Args:
            target: a function of a module, which its process imports.
            spec: all that the worker needs to know; it is pickled.
            envs: global indices of its environments.
        """
        index = len(self.workers)
        pipe, child_pipe = self._context.Pipe()
        child_life_line, life_line = self._context.Pipe(duplex=False)
        hold_alone(pipe, life_line)
        process = self._context.Process(
            target=target, name=f"{self._name}-{index}", args=(spec, child_pipe, child_life_line)
        )
        process.daemon = self._daemon
        with clear_mpi_env_vars(), without_main_module(), single_threaded():
            process.start()
        child_pipe.close()
        child_life_line.close()
        death, own = _death_descriptor(process)
        worker = Worker(index, envs, process, pipe, life_line, process.pid, pipe.fileno(), death, own)
        self.workers.append(worker)
        self._by_socket[worker.socket] = worker
        self._by_death[death] = worker
        self._poller.register(worker.socket, select.POLLIN)
        self._poller.register(death, select.POLLIN)

    def signal_step(self) -> None:
        """Let every worker step; their actions lie in shared memory."""
        write = os.write
        for worker in self.workers:
            try:
                write(worker.socket, STEP)
            except OSError:
                raise self._died(worker) from None

    def command(self, name: str, data: Sequence[Any]) -> None:
        """Send each worker a command with its own data."""
        for worker, datum in zip(self.workers, data, strict=True):
            message = dumps_by_value((name, datum))
            try:
                os.write(worker.socket, COMMAND)
                worker.pipe.send_bytes(message)
            except OSError:
                raise self._died(worker) from None

    def collect(self, timeout: float | None, tick: Callable[[], None] | None = None) -> list[Any]:
        """Wait until every worker has answered; None for those with nothing to say.

        Args:
            timeout: seconds; None waits for ever.
            tick: called about four times a second while waiting; what it raises ends the wait.

        Raises:
            WorkersError: environments raised.
            EnvironmentFailure: a worker died.
            EnvironmentTimeoutError: not all answered within ``timeout`` seconds.
        """
        answers: list[Any] = [None] * len(self.workers)
        waiting = len(self.workers)
        reports: list[FailureReport] = []
        deadline = None if timeout is None else time.monotonic() + timeout
        answered = [False] * len(self.workers)
        slept = False  # then wait for the rest asleep: SpinWait would take each of them for a success and never give up
        while waiting:
            left = None if deadline is None else math.ceil(max(0.0, deadline - time.monotonic()) * 1000)
            if tick is not None:
                tick()
                left = _TICK if left is None else min(left, _TICK)
            events = [] if slept else self._spin()
            if not events:
                slept, events = True, self._poller.poll(left)
            if not events and (deadline is None or time.monotonic() < deadline):
                continue
            if not events:
                break
            dead: Worker | None = None
            for descriptor, _ in events:
                worker = self._by_socket.get(descriptor)
                if worker is None:
                    dead = self._by_death[descriptor]
                    continue
                code = _read_byte(descriptor)
                if code == DONE:
                    pass
                elif code in (RESULT, FAILED):
                    try:
                        answer = loads(worker.pipe.recv_bytes())
                    except (EOFError, OSError):
                        raise self._died(worker) from None
                    if code == FAILED:
                        reports.append(answer)
                        deadline = time.monotonic() + GATHER
                        self._forget(worker)
                    else:
                        answers[worker.index] = answer
                else:
                    dead = worker
                    continue
                answered[worker.index] = True
                waiting -= 1
            if dead is not None and not reports:
                raise self._died(dead)
            if dead is not None:
                break
        if reports:
            raise WorkersError(reports)
        if waiting:
            raise self._late([worker for worker in self.workers if not answered[worker.index]], timeout or 0.0)
        return answers

    def stop(self, ask: bool, patience: float = 3.0) -> None:
        """End every worker: ask, after ``patience`` seconds terminate, then kill; returns when none is left."""
        running = [worker for worker in self.workers if not self._ended(worker, 0.0)]
        if ask:
            for worker in running:
                with contextlib.suppress(OSError):  # it may be dead, or hang with a full socket
                    os.set_blocking(worker.socket, False)
                    message = dumps_by_value(("close", None))
                    os.write(worker.socket, COMMAND)
                    worker.pipe.send_bytes(message)
            running = self._await_end(running, patience)
            for worker in running:  # workers ignore it, but an environment may have set a handler of its own
                worker.process.terminate()
            running = self._await_end(running, 0.5) if running else []
        for worker in running:
            worker.process.kill()
        self._await_end(running, 5.0)
        for worker in self.workers:
            self._forget(worker)
            worker.process.join(1.0)
            if worker.own_death:
                os.close(worker.death)
            worker.pipe.close()
            worker.life_line.close()

    def _await_end(self, workers: list[Worker], patience: float) -> list[Worker]:
        """Those that still run after ``patience`` seconds."""
        deadline = time.monotonic() + patience
        return [worker for worker in workers if not self._ended(worker, max(0.0, deadline - time.monotonic()))]

    @staticmethod
    def _ended(worker: Worker, patience: float) -> bool:
        poller = select.poll()
        poller.register(worker.death, select.POLLIN)
        return bool(poller.poll(math.ceil(patience * 1000)))

    def _forget(self, worker: Worker) -> None:
        """Stop waiting for this worker."""
        for descriptor in (worker.socket, worker.death):
            with contextlib.suppress(KeyError):
                self._poller.unregister(descriptor)

    def _died(self, worker: Worker) -> EnvironmentFailure:
        self._ended(worker, 0.5)
        worker.process.join(0.2)
        text = f"{worker} {how_it_ended(worker.process.exitcode)}"
        env = int(self._current[worker.index])
        return EnvironmentFailure(text if env < 0 else f"{text} while it ran environment {env}")

    def _late(self, workers: list[Worker], timeout: float) -> EnvironmentTimeoutError:
        lines = []
        for worker in workers:
            env = int(self._current[worker.index])
            if env < 0:
                lines.append(f"{worker} did not answer in {timeout:g} s")
            else:
                who = f"worker {worker.index}, pid {worker.pid}"
                lines.append(f"environment {env} did not answer in {timeout:g} s ({who})")
        return EnvironmentTimeoutError("; ".join(lines))


def _read_byte(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1)
    except OSError:
        return b""


def _death_descriptor(process: Any) -> tuple[int, bool]:
    """What to poll for the end of a process, and whether it is ours to close.

    A pidfd, because the sentinel of a forkserver's child also fires when only the forkserver is killed.
    """
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return os.pidfd_open(process.pid), True
    return process.sentinel, False
