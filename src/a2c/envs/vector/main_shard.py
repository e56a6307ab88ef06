"""The main process steps a shard too, while its workers step theirs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from a2c.envs.foreign import users_own
from a2c.envs.vector.shard import Shard, ShardMemory
from a2c.envs.vector.shard_worker import COMMANDS
from a2c.machine.processes.failure_report import WorkersError, report_failure
from a2c.machine.processes.pool import GATHER, WorkerPool
from a2c.machine.processes.worker_process import Worker


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
        # What to do next, as a worker gets it; None: it is done, and this is the answer.
        self._order: tuple[str, Any] | None = ("set_up", (env_fns, spaces))
        self._answer: Any = None
        self._failed = False

    @property
    def workers(self) -> list[Worker]:
        """The processes beside this one."""
        return self._pool.workers

    @property
    def failed(self) -> list[int]:
        """Indices of the shards for which the latest :meth:`collect` raised; ours is the last."""
        return self._pool.failed + [len(self.workers)] * self._failed

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

        As :meth:`WorkerPool.collect` it can be called again.

        Args:
            timeout: seconds to wait for the workers once our own share is done; nothing can interrupt our own share.
            tick: as of :meth:`WorkerPool.collect`, likewise.

        Raises:
            WorkersError, EnvironmentFailure, EnvironmentTimeoutError: as :meth:`WorkerPool.collect`.
        """
        if self._order is not None:
            self._obey(*self._order)
        return [*self._pool.collect(timeout, tick), self._answer]

    def replace(self, index: int) -> None:
        """As :meth:`WorkerPool.replace`; of our own share, the environments."""
        if index < len(self.workers):
            self._pool.replace(index)
        else:
            self._failed, self._order = False, None
            self._do(self._shard.renew)

    def ask(self, index: int, name: str, data: Any, tick: Callable[[], None] | None = None) -> Any:
        """As :meth:`WorkerPool.ask`."""
        if index < len(self.workers):
            return self._pool.ask(index, name, data, tick)
        return self._do(lambda: COMMANDS[name](self._shard, data))

    def step_again(self, index: int) -> None:
        """As :meth:`WorkerPool.step_again`."""
        if index < len(self.workers):
            self._pool.step_again(index)
        else:
            self._order = ("step", None)

    def stop(self, ask: bool, patience: float = 3.0) -> None:
        """End every worker, and close our own environments."""
        try:
            self._pool.stop(ask, patience)
        finally:
            self._shard.close()

    def _obey(self, name: str, data: Any) -> None:
        """Do our own share."""
        try:
            self._answer = self._do(lambda: COMMANDS[name](self._shard, data))
        except WorkersError as own:
            self._failed = True
            reports = own.reports
            try:
                self._pool.collect(GATHER)
            except WorkersError as others:
                reports = reports + others.reports
            except Exception:
                self._pool.failed = []  # slow, or dead: that shows at the next wait
            raise WorkersError(reports) from None
        self._order = None

    def _do(self, what: Callable[[], Any]) -> Any:
        """Run something of our environments; raises :class:`WorkersError` for what they raise."""
        shard = self._shard
        try:
            answer = what()
        except BaseException as error:  # an environment that exits must not end the trainer; Ctrl-C may
            if users_own(error):
                raise
            raise WorkersError([report_failure(error, shard.at_fault(), None, os.getpid(), shard.doing)]) from None
        shard.rest()
        return answer
