"""Call every shard, one call at a time: begin it, then finish it; any other order is an error of Gymnasium's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from gymnasium import logger
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError
from gymnasium.vector.async_vector_env import AsyncState

from a2c.envs.vector.main_shard import PoolWithMainShard
from a2c.machine.processes.failure_report import WorkersError
from a2c.machine.processes.pool import WorkerPool


class Exchange:
    """Tracks which call to the shards is pending, and why no further call is possible after a failure.

    Args:
        pool: the workers, with or without a shard of the main process.
        log_failures: print Gymnasium's error lines before raising an exception.

    Attributes:
        state: which call is pending.
        broken: why no further call is possible; None while one is.
        failed: the shards that failed in a step.
    """

    def __init__(self, pool: WorkerPool | PoolWithMainShard, log_failures: bool) -> None:
        self.pool = pool
        self.state = AsyncState.DEFAULT
        self.broken: str | None = None
        self.failed: list[int] = []
        self.log_failures = log_failures

    def begin(self, state: AsyncState, operation: str, command: str, data: Sequence[Any]) -> None:
        """Send every shard a command.

        Args:
            state: of the exchange until the command is finished.
            operation: the caller's name for it, for the message.
            command: one of :data:`a2c.envs.vector.shard_worker.COMMANDS`.
            data: its data for each shard.

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
        """Let every shard step with the actions in shared memory; the caller has checked that no call is pending."""
        self.state = AsyncState.WAITING_STEP
        try:
            self.pool.signal_step()
        except BaseException as error:
            self.fail(error)

    def finish(self, state: AsyncState, timeout: float | None) -> list[Any]:
        """Wait for the answers of all shards to the pending call.

        Args:
            state: which call must be pending.
            timeout: seconds; None waits for ever.

        Raises:
            NoAsyncCallError: no such call is pending.
            EnvironmentFailure: a worker died, or an environment's exception could not be rebuilt here.
            EnvironmentTimeoutError: not all answered within ``timeout`` seconds.
            Exception: what an environment raised.
        """
        if self.state != state:
            raise NoAsyncCallError(
                f"Calling `{state.value}_wait` without any prior call to `{state.value}_async`.", state.value
            )
        answers = self.collect(timeout)
        self.state = AsyncState.DEFAULT
        return answers

    def ask(self, command: str, data: Sequence[Any], tick: Callable[[], None] | None = None) -> list[Any]:
        """Send every shard a command and wait for its answer; arguments and errors as of the two.

        ``tick`` is called every now and then while waiting; what it raises ends the wait.
        """
        self.check_running()
        self.begin(AsyncState.WAITING_CALL, command, command, data)
        answers = self.collect(None, tick)
        self.state = AsyncState.DEFAULT
        return answers

    def collect(self, timeout: float | None, tick: Callable[[], None] | None = None) -> list[Any]:
        """Wait for the next answer of every shard; raises as :meth:`finish`."""
        try:
            return self.pool.collect(timeout, tick)
        except BaseException as error:
            self.fail(error)

    def fail(self, error: BaseException) -> NoReturn:
        """Raise ``error``, or what the environment itself raised; then only close or, after a step, revive works."""
        if self.state is AsyncState.WAITING_STEP:
            self.failed = list(self.pool.failed)
        self.state = AsyncState.DEFAULT
        if not isinstance(error, WorkersError):
            self.broken = str(error) or type(error).__name__
            raise error
        self.broken = error.reports[0].line
        if self.log_failures:
            error.log()
        raise error.reports[0].exception() from None

    def ask_one(self, shard: int, command: str, data: Any, tick: Callable[[], None] | None = None) -> Any:
        """Send one shard a command in :meth:`revive` and return its answer; ``tick`` as in :meth:`ask`."""
        return self.pool.ask(shard, command, data, tick)

    def revive(self, bring_back: Callable[[int], None]) -> None:
        """Make anew the shards that failed in a step, and let them take it, too; :meth:`finish` then goes on waiting.

        Args:
            bring_back: called with each of these shards; brings it to where it was before the step.

        Raises: as :meth:`finish`; it can be called again.
        """
        while self.failed:
            shard = self.failed[0]
            try:
                self.pool.replace(shard)
                bring_back(shard)
            except BaseException as error:
                self.fail(error)
            self.pool.step_again(shard)
            del self.failed[0]
        self.broken, self.state = None, AsyncState.WAITING_STEP

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
