"""One call at a time to every shard: begun, then finished, with Gymnasium's errors for any other order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from gymnasium import logger
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError
from gymnasium.vector.async_vector_env import AsyncState

from a2c.envs.vector.main_shard import PoolWithMainShard
from a2c.machine.processes.failure_report import WorkersError
from a2c.machine.processes.pool import WorkerPool


class Exchange:
    """What is pending between the main process and its shards, and why nothing more is possible after a failure.

    Args:
        pool: the workers, with or without a shard of this process.
        log_failures: print Gymnasium's error lines before an exception itself.

    Attributes:
        state: which call is pending.
        broken: why no further call is possible; None: it is.
    """

    def __init__(self, pool: WorkerPool | PoolWithMainShard, log_failures: bool) -> None:
        self.pool = pool
        self.state = AsyncState.DEFAULT
        self.broken: str | None = None
        self._log_failures = log_failures

    def begin(self, state: AsyncState, operation: str, command: str, data: Sequence[Any]) -> None:
        """Send every shard a command.

        Args:
            state: that of the exchange until the command is finished.
            operation: what the caller calls it, for the message.
            command: of :data:`a2c.envs.vector.shard_worker.COMMANDS`.
            data: for each shard.

        Raises:
            AlreadyPendingCallError: another call is pending.
            EnvironmentFailure: a worker is gone.
        """
        self.check_idle(operation)
        self.state = state
        try:
            self.pool.command(command, data)
        except BaseException as error:
            self.fail(error)

    def begin_step(self) -> None:
        """Let every shard step, by the actions in shared memory; the caller has found the exchange idle."""
        self.state = AsyncState.WAITING_STEP
        try:
            self.pool.signal_step()
        except BaseException as error:
            self.fail(error)

    def finish(self, state: AsyncState, timeout: float | None) -> list[Any]:
        """The answers of all shards to the call that is pending.

        Raises:
            NoAsyncCallError: no such call is pending.
            EnvironmentFailure: a worker died, or an environment's exception could not be rebuilt here.
            Exception: what an environment raised.
        """
        if self.state != state:
            raise NoAsyncCallError(
                f"Calling `{state.value}_wait` without any prior call to `{state.value}_async`.", state.value
            )
        answers = self.collect(timeout)
        self.state = AsyncState.DEFAULT
        return answers

    def collect(self, timeout: float | None) -> list[Any]:
        """What every shard answers next; raises as :meth:`finish`."""
        try:
            return self.pool.collect(timeout)
        except BaseException as error:
            self.fail(error)

    def fail(self, error: BaseException) -> NoReturn:
        """Raise what happened, as the environment raised it; nothing but close is possible from here on."""
        self.state = AsyncState.DEFAULT
        if not isinstance(error, WorkersError):
            self.broken = str(error) or type(error).__name__
            raise error
        self.broken = error.reports[0].line
        if self._log_failures:
            error.log()
        raise error.reports[0].exception() from None

    def close(self, timeout: float | None, terminate: bool) -> None:
        """End the shards; arguments as in :meth:`ShardedAsyncVectorEnv.close_extras`."""
        broken = self.broken is not None
        if self.state != AsyncState.DEFAULT and not broken:
            logger.warn(f"Calling `close` while waiting for a pending call to `{self.state.value}` to complete.")
        self.pool.stop(ask=not terminate, patience=timeout if timeout is not None else 1.0 if broken else 3.0)

    def check_running(self) -> None:
        """Raise ClosedEnvironmentError after a failure."""
        if self.broken is not None:
            raise ClosedEnvironmentError(f"no further operation but close is possible after: {self.broken}")

    def check_idle(self, operation: str) -> None:
        """Raise AlreadyPendingCallError while a call is pending."""
        if self.state != AsyncState.DEFAULT:
            raise AlreadyPendingCallError(
                f"Calling `{operation}` while waiting for a pending call to `{self.state.value}` to complete",
                str(self.state.value),
            )
