"""Gymnasium's AsyncVectorEnv with a few workers that step many environments each."""

from __future__ import annotations

import atexit
import functools
import os
import weakref
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, NoReturn

import numpy as np
from gymnasium import Env, Space, logger
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import AsyncState
from gymnasium.vector.utils import batch_differing_spaces, concatenate, iterate, read_from_shared_memory
from numpy.typing import NDArray

from a2c.cores import usable_cores
from a2c.envs.block import Block, StepsInPlace, gather_infos, step_infos
from a2c.envs.failure_report import WorkersError
from a2c.envs.launch import multiprocessing_context
from a2c.envs.main_shard import PoolWithMainShard
from a2c.envs.pool import WorkerPool
from a2c.envs.reset_arguments import seeds_for, take_mask
from a2c.envs.shard import News
from a2c.envs.sharding import allocate, check_spaces, describe, hire, share_out
from a2c.envs.spin import SPIN

Steps = tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class ShardedAsyncVectorEnv(AsyncVectorEnv[Any, Any], StepsInPlace):
    """N environments in K worker processes, each stepping a contiguous shard of them in a loop.

    It keeps the contract of Gymnasium's AsyncVectorEnv, which runs one process per environment: the same methods,
    results, autoreset modes, infos and state errors. Actions, observations, rewards and flags lie in shared memory;
    infos travel only when they hold something. ``docs/vector_environment.md`` has the design and the differences.

    Args:
        env_fns: N functions that each make one environment; they reach the workers by cloudpickle.
        shared_memory: keep observations in shared memory; must be False for spaces that cannot lie in it.
        copy: return a copy of the observations; with False, ``observations`` itself, overwritten by the next step.
        context: multiprocessing start method; None is forkserver (spawn where there is none).
        daemon: whether the workers are daemons, which may not start processes of their own.
        worker: a custom worker function cannot apply here: ValueError.
        observation_mode: "same", "different" or (batched space, single space), as in Gymnasium.
        autoreset_mode: NEXT_STEP (Gymnasium's default), SAME_STEP or DISABLED.
        max_concurrency: at most so many environments run at once, that is, at most so many shards.
        num_workers: K; None is one per usable core, less the main process's own. Never more shards than N.
        main_shard: the main process steps one more shard, the last, in the ``_wait`` methods: the quickest where every
            process has a core of its own, but an environment of that shard which hangs or crashes stops the program.

    Attributes:
        observations: the batch in shared memory, ``[N, *obs]`` for array spaces.
        final_observations: ``[N, *obs]`` for array spaces with shared memory, else None. Row i is the last observation
            of the episode of environment i that ended most recently; written in SAME_STEP mode only.
        block: the arrays that a step overwrites, for array spaces with shared memory, else None.

    Raises:
        ValueError, TypeError, RuntimeError: as in Gymnasium, for arguments and spaces that do not fit.
        EnvironmentFailure: a worker died, or an environment's exception could not be rebuilt here.
        Exception: what an environment raised, of its own type, with notes that name it and hold its traceback.
    """

    final_observations: NDArray[Any] | None

    def __init__(
        self,
        env_fns: Sequence[Callable[[], Env[Any, Any]]],
        shared_memory: bool = True,
        copy: bool = True,
        context: str | None = None,
        daemon: bool = True,
        worker: Callable[..., None] | None = None,
        observation_mode: str | tuple[Space[Any], Space[Any]] = "same",
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        max_concurrency: int | None = None,
        num_workers: int | None = None,
        main_shard: bool = False,
    ) -> None:
        self.closed = True  # until there is something to close
        self.env_fns = env_fns
        self.shared_memory = shared_memory
        self.copy = copy
        self.context = context
        self.daemon = daemon
        self.worker = worker
        self.observation_mode = observation_mode  # type: ignore[assignment]  # Gymnasium's own hint is wrong
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.max_concurrency = max_concurrency
        self.num_envs = len(env_fns)
        self._shares = share_out(self.num_envs, worker, max_concurrency, num_workers, main_shard)
        self.num_workers = len(self._shares) - main_shard
        self.log_failures = True  # Gymnasium's error lines before the exception itself
        self._broken: str | None = None  # why no further step is possible
        self._owner = os.getpid()
        self._state = AsyncState.DEFAULT

        spaces = describe(env_fns[0], self.num_envs, observation_mode)
        self.metadata = {**spaces.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = spaces.render_mode
        self.single_action_space, self.action_space = spaces.single_action, spaces.action
        self.single_observation_space, self.observation_space = spaces.single_observation, spaces.observation

        ctx = multiprocessing_context(context)
        memory, self.observations = allocate(spaces, self.num_envs, len(self._shares), shared_memory, ctx)
        self._memory = memory
        self._actions = memory.arrays["actions"] if memory.actions else None
        self._rewards, self._flags = memory.arrays["rewards"], memory.arrays["flags"]
        self.block = Block.of(memory)
        self.final_observations = None if self.block is None else self.block.final_observations

        spin = SPIN if main_shard and len(self._shares) <= usable_cores() else 0.0
        pool = WorkerPool(ctx, daemon, f"Worker<{type(self).__name__}>", memory.arrays["current"], spin)
        self._pool: WorkerPool | PoolWithMainShard = pool
        # multiprocessing joins its children at exit and would wait for ours for ever; hooks run last in, first out.
        self._at_exit = functools.partial(_close_if_alive, weakref.ref(self))
        atexit.register(self._at_exit)
        self.closed = False
        try:
            told = (observation_mode, spaces.single_observation, spaces.single_action)
            mode = self.autoreset_mode.value
            hire(pool, env_fns, self._shares[: self.num_workers], told, mode, memory, spin)
            if main_shard:
                own = self._shares[-1]
                self._pool = PoolWithMainShard(pool, own, mode, memory, env_fns[own.start : own.stop], told)
            self._check_spaces()
        except BaseException:
            self.close(terminate=True)
            raise

    @property
    def processes(self) -> list[Any]:  # type: ignore[override]
        """The worker processes."""
        return [worker.process for worker in self._pool.workers]

    @property
    def parent_pipes(self) -> list[Any]:  # type: ignore[override]
        """The main process's end of each worker's pipe."""
        return [worker.pipe for worker in self._pool.workers]

    def reset_async(self, seed: Any = None, options: dict[str, Any] | None = None) -> None:
        """As in Gymnasium; ``options["reset_mask"]`` (bool ``[N]``) picks the environments to reset."""
        self._assert_is_running()
        seeds = seeds_for(seed, self.num_envs)
        self._assert_idle("reset_async")
        mask, options = take_mask(options, self.num_envs)
        data = []
        for share in self._shares:
            rows = slice(share.start, share.stop)
            data.append((seeds[rows], options, None if mask is None else mask[rows]))
        self._begin(AsyncState.WAITING_RESET, lambda: self._pool.command("reset", data))

    def reset_wait(self, timeout: float | None = None) -> tuple[Any, dict[str, Any]]:
        """As in Gymnasium."""
        answers: list[News] = self._finish(AsyncState.WAITING_RESET, timeout)
        return self._observed(answers), gather_infos(answers, self._add_info)

    def step_async(self, actions: Any) -> None:
        """As in Gymnasium; actions of the action space's own dtype are the fast way."""
        self._assert_is_running()
        self._assert_idle("step_async")
        if self._actions is not None:
            batch = np.asarray(actions)
            if batch.shape == self._actions.shape and batch.dtype == self._actions.dtype:
                self._actions[...] = batch
                self._begin(AsyncState.WAITING_STEP, self._pool.signal_step)
                return
        # Through the pipe, so that an environment gets its action as the caller wrote it, fit or not, as in Gymnasium.
        each = list(iterate(self.action_space, actions))
        if len(each) != self.num_envs:
            raise ValueError(f"{len(each)} actions for {self.num_envs} environments")
        data = [each[share.start : share.stop] for share in self._shares]
        self._begin(AsyncState.WAITING_STEP, lambda: self._pool.command("step", data))

    def step_wait(self, timeout: float | None = None) -> Steps:
        """As in Gymnasium; after a timeout no further step is possible, because its result would be the wrong one."""
        answers: list[News | None] = self._finish(AsyncState.WAITING_STEP, timeout)
        terminated, truncated = self._flags.copy()
        ended: Sequence[int] = ()
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            ended = np.flatnonzero(terminated | truncated).tolist()
        news = [answer for answer in answers if answer is not None]
        infos = step_infos(news, ended, self.num_envs, self.final_observations, self._add_info)
        return self._observed(news), self._rewards.copy(), terminated, truncated, infos

    def begin_in_place(self, actions: Any) -> None:
        """As ``step_async``."""
        self.step_async(actions)

    def finish_in_place(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for a step into ``block``, without copies; returns the infos, those of ended episodes left out."""
        answers: list[News | None] = self._finish(AsyncState.WAITING_STEP, timeout)
        news = [answer for answer in answers if answer is not None]
        return gather_infos(news, self._add_info) if news else {}

    def keep_infos(self, keys: Sequence[str] | None) -> None:
        """From now on report only these keys of infos, so that no other one travels; None: all."""
        self._assert_is_running()
        self._assert_idle("keep_infos")
        self._begin(AsyncState.WAITING_CALL, lambda: self._pool.command("infos", [keys] * len(self._shares)))
        self._finish(AsyncState.WAITING_CALL, None)

    def call_async(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        """As in Gymnasium."""
        self._assert_is_running()
        self._assert_idle("call_async")
        data = [(name, args, kwargs)] * len(self._shares)
        self._begin(AsyncState.WAITING_CALL, lambda: self._pool.command("call", data))

    def call_wait(self, timeout: float | None = None) -> tuple[Any, ...]:
        """As in Gymnasium."""
        answers = self._finish(AsyncState.WAITING_CALL, timeout)
        return tuple(result for answer in answers for result in answer)

    def set_attr(self, name: str, values: Any) -> None:
        """As in Gymnasium."""
        self._assert_is_running()
        if not isinstance(values, (list, tuple)):
            values = [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ValueError(
                "Values must be a list or tuple with length equal to the number of environments. "
                f"Got `{len(values)}` values for {self.num_envs} environments."
            )
        self._assert_idle("set_attr")
        data = [(name, values[share.start : share.stop]) for share in self._shares]
        self._begin(AsyncState.WAITING_CALL, lambda: self._pool.command("setattr", data))
        self._finish(AsyncState.WAITING_CALL, None)

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Close the environments and end the workers, also hung ones: ask, terminate, kill.

        Args:
            timeout: seconds to wait for the environments to close by themselves; None is 3, or 1 after a failure.
            terminate: kill at once.
        """
        if os.getpid() != self._owner:
            return  # a forked copy: the workers belong to the process that started them
        if self._state != AsyncState.DEFAULT and self._broken is None:
            logger.warn(f"Calling `close` while waiting for a pending call to `{self._state.value}` to complete.")
        atexit.unregister(self._at_exit)
        if timeout is None:
            timeout = 3.0 if self._broken is None else 1.0
        self._pool.stop(ask=not terminate, patience=timeout)

    def _begin(self, state: AsyncState, send: Callable[[], None]) -> None:
        self._state = state
        try:
            send()
        except BaseException as error:
            self._fail(error)

    def _finish(self, state: AsyncState, timeout: float | None) -> list[Any]:
        self._assert_is_running()
        if self._state != state:
            raise NoAsyncCallError(
                f"Calling `{state.value}_wait` without any prior call to `{state.value}_async`.", state.value
            )
        try:
            answers = self._pool.collect(timeout)
        except BaseException as error:
            self._fail(error)
        self._state = AsyncState.DEFAULT
        return answers

    def _fail(self, error: BaseException) -> NoReturn:
        """Raise what happened, as the environment raised it; nothing but close is possible from here on."""
        self._state = AsyncState.DEFAULT
        if not isinstance(error, WorkersError):
            self._broken = str(error) or type(error).__name__
            raise error
        self._broken = error.reports[0].line
        if self.log_failures:
            error.log()
        raise error.reports[0].exception() from None

    def _check_spaces(self) -> None:
        """Wait until every worker has built its shard; all environments must have spaces that can be batched."""
        try:
            answers = self._pool.collect(None)
        except BaseException as error:
            self._fail(error)
        check_spaces(answers, self.observation_mode, self.single_action_space)
        if self.observation_mode == "different":
            self.observation_space = batch_differing_spaces([space for answer in answers for space in answer[2]])

    def _observed(self, news: list[News]) -> Any:
        """The batch of observations, a copy if so asked."""
        if self._memory.nested is not None:  # read again: some spaces (Text) are decoded, not viewed
            self.observations = read_from_shared_memory(
                self.single_observation_space, self._memory.nested, n=self.num_envs
            )
        elif not self._memory.observations:
            each = [observation for _, by_pipe, _ in news for observation in by_pipe or ()]
            self.observations = concatenate(self.single_observation_space, each, self.observations)
        elif self.copy:
            return self.observations.copy()
        return deepcopy(self.observations) if self.copy else self.observations

    def _assert_is_running(self) -> None:
        super()._assert_is_running()
        if self._broken is not None:
            raise ClosedEnvironmentError(f"no further operation but close is possible after: {self._broken}")

    def _assert_idle(self, operation: str) -> None:
        if self._state != AsyncState.DEFAULT:
            raise AlreadyPendingCallError(
                f"Calling `{operation}` while waiting for a pending call to `{self._state.value}` to complete",
                str(self._state.value),
            )


def _close_if_alive(reference: weakref.ref[ShardedAsyncVectorEnv]) -> None:
    envs = reference()
    if envs is not None and not envs.closed:
        envs.close(terminate=True)
