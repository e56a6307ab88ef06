"""The main process steps a shard too, while its workers step theirs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from a2c.envs.vector.shard import Shard, ShardMemory
from a2c.envs.vector.shard_worker import COMMANDS
from a2c.machine.processes.failure_report import FailureReport, WorkersError, report_failure
from a2c.machine.processes.pool import GATHER, Worker, WorkerPool


class PoolWithMainShard:
    """A pool of workers whose last shard belongs to the main process, with the methods of :class:`WorkerPool`.

    A main process that only waits leaves a core idle, or costs two wake-ups a step. It steps its own share in
    :meth:`collect`, so that sending stays quick. If one of its own environments hangs, so does the program.

    Args:
        pool: the workers.
        share: the environments of the main process; the first :meth:`collect` makes them, while workers make theirs.
        autoreset: as in :class:`Shard`.
        memory: that all shards write to.
        env_fns: make the environments of the share.
        spaces: (observation mode, single observation space, single action space), which all must fit.
    """

    def __init__(
        self,
        pool: WorkerPool,
        share: range,
        autoreset: str,
        memory: ShardMemory,
        env_fns: Sequence[Callable[[], Any]],
        spaces: tuple[Any, ...],
    ) -> None:
        self._pool = pool
        self._shard = Shard(len(pool.workers), share.start, len(share), autoreset, memory)
        self._order: tuple[str, Any] = ("set_up", (env_fns, spaces))  # what to do next, as a worker gets it

    @property
    def workers(self) -> list[Worker]:
        """The processes beside this one."""
        return self._pool.workers

    def signal_step(self) -> None:
        """Let every worker step, and step our own share next; all actions lie in shared memory."""
        self._pool.signal_step()
        self._order = ("step", None)

    def command(self, name: str, data: Sequence[Any]) -> None:
        """Send each worker a command with its own data; the last data are for this process."""
        self._pool.command(name, data[:-1])
        # Workers get a copy, since the caller may change the data meanwhile and an environment may keep them; so do we.
        own = data[-1]
        self._order = (name, deepcopy(own) if name in ("step", "reset") else own)

    def collect(self, timeout: float | None, tick: Callable[[], None] | None = None) -> list[Any]:
        """Do our own share, then wait until every worker has answered; our answer comes last.

        Args:
            timeout: seconds to wait for the workers once our own share is done; nothing can interrupt our own share.
            tick: as of :meth:`WorkerPool.collect`, likewise.

        Raises:
            WorkersError, EnvironmentFailure, EnvironmentTimeoutError: as :meth:`WorkerPool.collect`.
        """
        report, answer = self._obey()
        if report is None:
            return [*self._pool.collect(timeout, tick), answer]
        reports = [report]
        with contextlib.suppress(Exception):
            try:
                self._pool.collect(GATHER)
            except WorkersError as error:
                reports += error.reports
        raise WorkersError(reports)

    def stop(self, ask: bool, patience: float = 3.0) -> None:
        """End every worker, and close our own environments."""
        try:
            self._pool.stop(ask, patience)
        finally:
            self._shard.close()

    def _obey(self) -> tuple[FailureReport | None, Any]:
        """Do our own share; returns a report if it failed, else None, and its answer."""
        shard, (name, data) = self._shard, self._order
        try:
            answer = COMMANDS[name](shard, data)
        except (Exception, SystemExit) as error:  # an environment that exits must not end the trainer; Ctrl-C may
            return report_failure(error, shard.at_fault(), None, os.getpid(), shard.doing), None
        shard.rest()
        return None, answer
