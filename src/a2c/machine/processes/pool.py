"""The worker processes as the main process sees them: start them, signal them, wait for them, end them."""

from __future__ import annotations

import contextlib
import math
import os
import select
import time
from collections.abc import Callable, Sequence
from typing import Any

from a2c.errors import EnvironmentFailure
from a2c.machine.processes.failure_report import EnvironmentTimeoutError, FailureReport, WorkersError, how_it_ended
from a2c.machine.processes.life import DONE, FAILED, RESULT, STEP
from a2c.machine.processes.pickles import loads
from a2c.machine.processes.spin import SpinWait
from a2c.machine.processes.worker_process import Job, Target, Worker, read_byte, start_worker

GATHER = 0.2  # seconds to wait for further failures once one is known
_TICK = 250  # milliseconds


class WorkerPool:
    """K worker processes; every wait notices a dead one at once, even while it waits for a slow one.

    Args:
        context: of multiprocessing; it makes the processes and pipes.
        daemon: whether the workers are daemons.
        name: of the processes, before their index.
        current: ``[K or more]`` int64, the environment that each worker runs now; negative: none.
        spin: seconds to wait awake for answers.

    Attributes:
        workers: all K.
        failed: indices of those for which the latest :meth:`collect` raised.
    """

    def __init__(self, context: Any, daemon: bool, name: str, current: Any, spin: float = 0.0) -> None:
        self.workers: list[Worker] = []
        self.failed: list[int] = []
        self._context, self._daemon, self._name, self._current = context, daemon, name, current
        self._poller = select.poll()
        self._spin = SpinWait(self._poller, spin)
        self._by_socket: dict[int, Worker] = {}
        self._by_death: dict[int, Worker] = {}
        self._answers: list[Any] = []
        self._owing: set[int] = set()  # indices of workers whose answer to the pending call has not come

    def start(self, target: Target, spec: Any, envs: range) -> None:
        """Start the next worker, which runs ``target(spec, pipe, life_line)``; returns before its environments exist.

        Args:
            target: a function of a module, which its process imports.
            spec: all that the worker needs to know; it is pickled.
            envs: global indices of its environments.
        """
        index = len(self.workers)
        worker = start_worker(self._context, self._name, self._daemon, index, Job(target, spec, envs))
        self.workers.append(self._watched(worker))
        self._answers.append(None)
        self._owing.add(index)

    def replace(self, index: int) -> Any:
        """Kill a worker and start another one in its place; returns its first answer, when its environments exist.

        Raises: as :meth:`ask`.
        """
        old = self.workers[index]
        old.process.kill()
        self._forget(old)
        old.ended(5.0)
        old.close()
        with contextlib.suppress(ValueError):  # it will not die: then they stay open
            old.process.close()  # multiprocessing's own descriptors, which else wait for the garbage collector
        self.workers[index] = self._watched(start_worker(self._context, self._name, self._daemon, index, old.job))
        return self._heard(self.workers[index], None)

    def signal_step(self) -> None:
        """Let every worker step, their actions lie in shared memory; :meth:`collect` finds those that are gone."""
        write = os.write
        for worker in self.workers:
            with contextlib.suppress(OSError):
                write(worker.socket, STEP)
        self._pending()

    def step_again(self, index: int) -> None:
        """Let one worker take the pending step, too, after :meth:`replace`."""
        with contextlib.suppress(OSError):
            os.write(self.workers[index].socket, STEP)
        self._owing.add(index)

    def command(self, name: str, data: Sequence[Any]) -> None:
        """Send each worker a command with its own data."""
        for worker, datum in zip(self.workers, data, strict=True):
            try:
                worker.order(name, datum)
            except OSError:
                raise self._died(worker) from None
        self._pending()

    def ask(self, index: int, name: str, data: Any, tick: Callable[[], None] | None = None) -> Any:
        """Send one worker a command and wait for its answer; ``tick`` and errors as of :meth:`collect`."""
        worker = self.workers[index]
        try:
            worker.order(name, data)
        except OSError:
            raise self._died(worker) from None
        return self._heard(worker, tick)

    def collect(self, timeout: float | None, tick: Callable[[], None] | None = None) -> list[Any]:
        """Wait until every worker has answered the pending call; None for those with nothing to say.

        After an error it can be called again, once the workers in ``failed`` are replaced and have the call, too.

        Args:
            timeout: seconds; None waits for ever.
            tick: called about four times a second while waiting; what it raises ends the wait.

        Raises:
            WorkersError: environments raised.
            EnvironmentFailure: a worker died.
            EnvironmentTimeoutError: not all answered within ``timeout`` seconds.
        """
        reports: list[FailureReport] = []
        self.failed = []
        deadline = None if timeout is None else time.monotonic() + timeout
        slept = False  # then wait for the rest asleep: SpinWait would take each of them for a success and never give up
        while self._owing:
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
                    dead = self._by_death.get(descriptor, dead)  # who has just failed may be gone already
                    continue
                code, answer = self._read(worker)
                if not code:
                    dead = worker
                    continue
                self._owing.discard(worker.index)
                if code == FAILED:
                    self._failed(worker)
                    reports.append(answer)
                    deadline = time.monotonic() + GATHER
                else:
                    self._answers[worker.index] = answer
            if dead is not None and self._owing:  # who has answered last may leave
                self._failed(dead)
                if not reports:
                    raise self._died(dead)
                break
        if reports:
            raise WorkersError(reports)
        if self._owing:
            self.failed = sorted(self._owing)
            raise self._late([self.workers[index] for index in self.failed], timeout or 0.0)
        return self._answers.copy()

    def stop(self, ask: bool, patience: float = 3.0) -> None:
        """End every worker: ask, after ``patience`` seconds terminate, then kill; returns when none is left."""
        running = [worker for worker in self.workers if not worker.ended(0.0)]
        if ask:
            for worker in running:
                with contextlib.suppress(OSError):  # it may be dead, or hang with a full socket
                    os.set_blocking(worker.socket, False)
                    worker.order("close", None)
            running = _still_running(running, patience)
            for worker in running:  # workers ignore it, but an environment may have set a handler of its own
                worker.process.terminate()
            running = _still_running(running, 0.5) if running else []
        for worker in running:
            worker.process.kill()
        _still_running(running, 5.0)
        for worker in self.workers:
            self._forget(worker)
            worker.close()

    def _pending(self) -> None:
        """All workers owe an answer."""
        self._answers = [None] * len(self.workers)
        self._owing.update(range(len(self.workers)))

    def _watched(self, worker: Worker) -> Worker:
        self._by_socket[worker.socket] = self._by_death[worker.death] = worker
        self._poller.register(worker.socket, select.POLLIN)
        self._poller.register(worker.death, select.POLLIN)
        return worker

    def _forget(self, worker: Worker) -> None:
        """Stop waiting for this worker, whose descriptors' numbers others may have once they are closed."""
        for known, descriptor in ((self._by_socket, worker.socket), (self._by_death, worker.death)):
            if known.get(descriptor) is worker:
                del known[descriptor]
                self._poller.unregister(descriptor)

    def _failed(self, worker: Worker) -> None:
        self.failed.append(worker.index)
        self._forget(worker)

    def _read(self, worker: Worker) -> tuple[bytes, Any]:
        """The answer that has come: its first byte, none where the worker is gone, and what it says."""
        code = read_byte(worker.socket)
        if code == DONE:
            return code, None
        if code in (RESULT, FAILED):
            with contextlib.suppress(EOFError, OSError):
                return code, loads(worker.pipe.recv_bytes())
        return b"", None

    def _heard(self, worker: Worker, tick: Callable[[], None] | None) -> Any:
        """Wait for the answer of one worker."""
        poller = select.poll()
        poller.register(worker.socket, select.POLLIN)
        poller.register(worker.death, select.POLLIN)
        while not poller.poll(_TICK):
            if tick is not None:
                tick()
        code, answer = self._read(worker)
        if not code:
            raise self._died(worker)
        if code == FAILED:
            raise WorkersError([answer])
        return answer

    def _died(self, worker: Worker) -> EnvironmentFailure:
        worker.ended(0.5)
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


def _still_running(workers: list[Worker], patience: float) -> list[Worker]:
    """Those that still run after ``patience`` seconds."""
    deadline = time.monotonic() + patience
    return [worker for worker in workers if not worker.ended(max(0.0, deadline - time.monotonic()))]
