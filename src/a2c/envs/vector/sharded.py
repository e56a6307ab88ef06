"""Gymnasium's AsyncVectorEnv with a few workers that step many environments each."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from gymnasium import Env, Space
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import AsyncState
from gymnasium.vector.utils import batch_differing_spaces, iterate
from numpy.typing import NDArray

from a2c.envs.vector.exchange import Exchange
from a2c.envs.vector.gathering import ended_infos, gather_infos, gather_observations, step_infos
from a2c.envs.vector.in_place import Block, StepsInPlace
from a2c.envs.vector.main_shard import PoolWithMainShard
from a2c.envs.vector.rebuilder import ShardRebuilder
from a2c.envs.vector.reset_arguments import seeds_for, take_mask
from a2c.envs.vector.shard import StepNews
from a2c.envs.vector.sharding import allocate, check_spaces, describe, share_out, start_workers
from a2c.machine.cores import usable_cores
from a2c.machine.processes.launch import multiprocessing_context
from a2c.machine.processes.life_line import close_at_exit
from a2c.machine.processes.pool import WorkerPool
from a2c.machine.processes.spin import SPIN

Steps = tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class ShardedAsyncVectorEnv(AsyncVectorEnv[Any, Any], StepsInPlace):
    """N environments in K worker processes, each stepping a contiguous shard of them in a loop.

    It keeps the contract of Gymnasium's AsyncVectorEnv, which runs one process per environment: the same methods,
    results, autoreset modes, infos and state errors. Actions, observations, rewards and flags lie in shared memory;
    infos travel only when they hold something. ``docs/vector_environment.md`` has the design and the differences.

    Args:
        env_fns: N functions that each make one environment; cloudpickle sends them to the workers.
        shared_memory: keep observations in shared memory; must be False for spaces that cannot lie in it.
        copy: return a copy of the observations; with False, ``observations`` itself, overwritten by the next step.
        context: multiprocessing start method; None is forkserver (spawn where there is none).
        daemon: whether the workers are daemons, which may not start processes of their own.
        worker: must be None, because Gymnasium's custom worker function steps only one environment.
        observation_mode: "same", "different" or (batched space, single space), as in Gymnasium.
        autoreset_mode: NEXT_STEP (Gymnasium's default), SAME_STEP or DISABLED.
        max_concurrency: how many environments may run at once, and so how many shards there may be.
        num_workers: K; None is one per usable core, less one for the main shard. There are never more shards than N.
        main_shard: the main process steps one more shard, the last, in the ``_wait`` methods. That is quickest where
            every process has its own core, but if an environment of that shard hangs or crashes, so does the program.
        log_failures: print Gymnasium's error lines before raising an exception.
        isolate: learn the spaces in another process, so that none of the environments is ever made in this one.

    Attributes:
        observations: the batch in shared memory, ``[N, *obs]`` for array spaces.
        final_observations: ``[N, *obs]`` for array spaces with shared memory, else None. Row i is the last observation
            of the latest episode of environment i that ended; written in SAME_STEP mode only.
        block: the arrays that a step overwrites, for array spaces with shared memory, else None.
        rebuilder: rebuilds episodes (:class:`a2c.envs.rebuilding.in_flight.Rebuilder`).

    Raises:
        ValueError, TypeError, RuntimeError: as in Gymnasium, for arguments and spaces that do not fit.
        EnvironmentFailure: a worker died, or an environment's exception could not be rebuilt here.
        Exception: what an environment raised, with notes that name it and hold its traceback.
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
        log_failures: bool = True,
        isolate: bool = False,
    ) -> None:
        self.closed, self.env_fns, self.num_envs = True, env_fns, len(env_fns)  # closed until there is what to close
        self.shared_memory, self.copy = shared_memory, copy
        self.context, self.daemon, self.worker = context, daemon, worker
        self.observation_mode = observation_mode  # type: ignore[assignment]  # Gymnasium's own hint is wrong
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.max_concurrency = max_concurrency
        self._shares = share_out(self.num_envs, worker, max_concurrency, num_workers, main_shard)
        self.num_workers = len(self._shares) - main_shard
        self._owner = os.getpid()
        spaces = describe(env_fns[0], self.num_envs, observation_mode, apart=isolate)
        self.metadata = {**spaces.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode, self.action_space = spaces.render_mode, spaces.action
        self.single_observation_space, self.single_action_space = spaces.single_observation, spaces.single_action
        self.observation_space = spaces.observation

        ctx = multiprocessing_context(context, preload="a2c.envs.vector.shard_worker")
        memory, self.observations = allocate(spaces, self.num_envs, len(self._shares), shared_memory, ctx)
        self._memory = memory
        self._actions = memory.arrays["actions"] if memory.actions else None
        self._rewards, self._flags = memory.arrays["rewards"], memory.arrays["flags"]
        self.block = Block.of(memory)
        self.final_observations = None if self.block is None else self.block.final_observations
        spin = SPIN if main_shard and len(self._shares) <= usable_cores() else 0.0
        pool = WorkerPool(ctx, daemon, f"Worker<{type(self).__name__}>", memory.arrays["current"], spin)
        self._exchange = Exchange(pool, log_failures)
        self.rebuilder = ShardRebuilder(memory, self._shares, self._exchange, self.observations)
        self._at_exit, self.closed = close_at_exit(self), False
        try:
            told, mode = (observation_mode, spaces.single_observation, spaces.single_action), self.autoreset_mode.value
            start_workers(pool, env_fns, self._shares[: self.num_workers], told, mode, memory, spin)
            if main_shard:
                own, fns = self._shares[-1], self._shared_out(env_fns)[-1]
                self._exchange.pool = PoolWithMainShard(pool, own, mode, memory, fns, told)
            self._check_spaces()
        except BaseException:
            self.close(terminate=True)
            raise

    @property
    def processes(self) -> list[Any]:  # type: ignore[override]
        """The worker processes."""
        return [worker.process for worker in self._exchange.pool.workers]

    @property
    def parent_pipes(self) -> list[Any]:  # type: ignore[override]
        """The main process's end of each worker's pipe."""
        return [worker.pipe for worker in self._exchange.pool.workers]

    @property
    def _state(self) -> AsyncState:  # type: ignore[override]  # as Gymnasium's class calls it
        return self._exchange.state

    def reset_async(self, seed: Any = None, options: dict[str, Any] | None = None) -> None:
        """As in Gymnasium; ``options["reset_mask"]`` (bool ``[N]``) picks the environments to reset."""
        self._assert_is_running()
        seeds = seeds_for(seed, self.num_envs)
        self._exchange.check_idle("reset_async")
        mask, options = take_mask(options, self.num_envs)
        data = []
        for share in self._shares:
            rows = slice(share.start, share.stop)
            data.append((seeds[rows], options, None if mask is None else mask[rows]))
        self._exchange.begin(AsyncState.WAITING_RESET, "reset_async", "reset", data)

    def reset_wait(self, timeout: float | None = None) -> tuple[Any, dict[str, Any]]:
        """As in Gymnasium."""
        self._assert_is_running()
        answers: list[StepNews] = self._exchange.finish(AsyncState.WAITING_RESET, timeout)
        self.rebuilder.told(answers)
        return self._observed(answers), gather_infos(answers, self._add_info)

    def step_async(self, actions: Any) -> None:
        """As in Gymnasium; quickest with actions of the action space's own dtype."""
        self._assert_is_running()
        self._exchange.check_idle("step_async")
        if self._actions is not None:
            batch = np.asarray(actions)
            if batch.shape == self._actions.shape and batch.dtype == self._actions.dtype:
                self._actions[...] = batch
                self._exchange.begin_step()
                return
        # As in Gymnasium, an environment gets its action as the caller wrote it, even if it does not fit: by pipe.
        each = list(iterate(self.action_space, actions))
        if len(each) != self.num_envs:
            raise ValueError(f"{len(each)} actions for {self.num_envs} environments")
        self._exchange.begin(AsyncState.WAITING_STEP, "step_async", "step", self._shared_out(each))

    def step_wait(self, timeout: float | None = None) -> Steps:
        """As in Gymnasium; after a timeout no further step is possible, because its result would be the wrong one."""
        news = self._stepped(timeout)
        terminated, truncated = self._flags.copy()
        ended: Sequence[int] = ()
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            ended = np.flatnonzero(terminated | truncated).tolist()
        infos = step_infos(news, ended, self.num_envs, self.final_observations, self._add_info)
        return self._observed(news), self._rewards.copy(), terminated, truncated, infos

    def begin_in_place(self, actions: Any) -> None:
        """As ``step_async``."""
        self.step_async(actions)

    def finish_in_place(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for a step into ``block``, without copies; returns the infos."""
        news = self._stepped(timeout)
        return gather_infos(news, self._add_info) | ended_infos(news) if news else {}

    def keep_infos(self, keys: Sequence[str] | None, final_keys: Collection[str] | None = ()) -> None:
        """As :meth:`StepsInPlace.keep_infos`, so that no others travel."""
        self._assert_is_running()
        self._exchange.ask("keep_infos", [(keys, final_keys)] * len(self._shares))

    def call_async(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        """As in Gymnasium."""
        self._assert_is_running()
        call = (name, args, kwargs)
        self._exchange.begin(AsyncState.WAITING_CALL, "call_async", "call", [call] * len(self._shares))

    def call_wait(self, timeout: float | None = None) -> tuple[Any, ...]:
        """As in Gymnasium."""
        self._assert_is_running()
        answers = self._exchange.finish(AsyncState.WAITING_CALL, timeout)
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
        self._exchange.ask("set_attr", [(name, part) for part in self._shared_out(values)])

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Close the environments and end the workers, even hung ones: ask, terminate, kill.

        Args:
            timeout: seconds to wait for the environments to close by themselves; None is 3, or 1 after a failure.
            terminate: kill at once.
        """
        if os.getpid() != self._owner:
            return  # a forked copy: the workers belong to the process that started them
        atexit.unregister(self._at_exit)
        self._exchange.close(timeout, terminate)
        self._memory.arrays.close_file()  # not before: a worker made anew attaches to it

    def _stepped(self, timeout: float | None) -> list[StepNews]:
        self._assert_is_running()
        answers: list[StepNews | None] = self._exchange.finish(AsyncState.WAITING_STEP, timeout)
        news = [answer for answer in answers if answer is not None]
        self.rebuilder.told(news)
        return news

    def _shared_out(self, each: Sequence[Any]) -> list[Any]:
        """Split a list with an item for each environment into a list for each shard."""
        return [each[share.start : share.stop] for share in self._shares]

    def _observed(self, news: list[StepNews]) -> Any:
        self.observations, shown = gather_observations(self._memory, news, self.observations, self.copy)
        return shown

    def _check_spaces(self) -> None:
        """Wait until every shard has its environments, and check that their spaces can be batched."""
        answers = self._exchange.collect(None)
        check_spaces(answers, self.observation_mode, self.single_action_space)
        if self.observation_mode == "different":
            self.observation_space = batch_differing_spaces([space for answer in answers for space in answer[2]])

    def _assert_is_running(self) -> None:
        super()._assert_is_running()
        self._exchange.check_running()
