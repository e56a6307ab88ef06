"""Gymnasium's SyncVectorEnv with the loop of our workers: N environments step one after another in this process."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

import numpy as np
from gymnasium import Env, Space
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import iterate
from numpy.typing import NDArray

from a2c.envs.foreign import close_all, named_failure, users_own
from a2c.envs.vector.gathering import Infos, ended_infos, gather_infos, gather_observations, step_infos
from a2c.envs.vector.in_place import Block, StepsInPlace
from a2c.envs.vector.own_shard import OwnShard
from a2c.envs.vector.rebuilder import ShardRebuilder
from a2c.envs.vector.reset_arguments import seeds_for, take_mask
from a2c.envs.vector.shard import Shard, StepNews
from a2c.envs.vector.sharding import Description, allocate, is_array
from a2c.errors import EnvironmentFailure
from a2c.machine.processes.failure_report import FOLLOWS, ContractError

EnvFn = Callable[[], Env[Any, Any]]


class InProcessVectorEnv(SyncVectorEnv[Any, Any], StepsInPlace):
    """N environments in this process: SyncVectorEnv's contract, with the stepping of ShardedAsyncVectorEnv's workers.

    Rewards, flags and observations go straight into arrays, final observations into an array of their own before the
    environment is reset. Every return value is checked. An exception gets two notes: which environment raised it and
    when, and its traceback.

    Args:
        env_fns: N functions that each make one environment.
        copy: return a copy of the observations; with False, the array that the next step overwrites.
        observation_mode: "same", "different" or (batched space, single space), as in Gymnasium.
        autoreset_mode: NEXT_STEP (Gymnasium's default), SAME_STEP or DISABLED.

    Attributes:
        block: the arrays that a step overwrites, for array spaces, else None.
        final_observations: ``[N, *obs]`` as in ShardedAsyncVectorEnv, else None.
        rebuilder: as there.

    Raises:
        ValueError, TypeError, RuntimeError: as in Gymnasium, for arguments and spaces that do not fit.
        EnvironmentFailure: an environment broke its contract, or raised what is no Exception.
        Exception: what an environment raised.
    """

    def __init__(
        self,
        env_fns: Sequence[EnvFn],
        copy: bool = True,
        observation_mode: str | tuple[Space[Any], Space[Any]] = "same",
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    ) -> None:
        made: list[Env[Any, Any]] = []
        named = [functools.partial(_make, env_fn, index, made) for index, env_fn in enumerate(env_fns)]
        try:
            super().__init__(named, copy, observation_mode, autoreset_mode)
        except BaseException:  # of a later constructor, or the spaces differ
            close_all({f"environment {index}": env.close for index, env in enumerate(made)})
            raise
        self.env_fns = env_fns
        spaces = Description(
            self.metadata,
            self.render_mode,
            self.single_action_space,
            self.action_space,
            self.single_observation_space,
            self.observation_space,
        )
        memory, self.observations = allocate(
            spaces, self.num_envs, 1, shared_memory=is_array(self.single_observation_space), context=None
        )
        memory.arrays.close_file()
        self._memory = memory
        self._pending: Any = None  # actions of a step begun in place
        self._actions = memory.arrays["actions"] if memory.actions else None
        self._flags = memory.arrays["flags"]
        self.block = Block.of(memory)
        self.final_observations: NDArray[Any] | None = None if self.block is None else self.block.final_observations
        self._shard = Shard(0, 0, self.num_envs, self.autoreset_mode.value, memory)
        self._shard.envs, self._shard.env_fns = self.envs, env_fns
        self._own = OwnShard(self._shard, _fail)
        self.rebuilder = ShardRebuilder(memory, [range(self.num_envs)], self._own, self.observations)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, Infos]:
        """As in Gymnasium; ``options["reset_mask"]`` (bool ``[N]``) picks the environments to reset."""
        seeds = seeds_for(seed, self.num_envs)
        mask, options = take_mask(options, self.num_envs)
        news: StepNews = self._own.do("reset", (seeds, options, mask))
        self.rebuilder.told([news])
        return self._observed(news), gather_infos([news], self._add_info)

    def step(self, actions: Any) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Infos]:
        """As in Gymnasium."""
        news = self._advance(actions)
        terminated, truncated = self._flags.copy()
        ended: Sequence[int] = ()
        if self.autoreset_mode is AutoresetMode.SAME_STEP:
            ended = np.flatnonzero(terminated | truncated).tolist()
        told = [] if news is None else [news]
        infos = step_infos(told, ended, self.num_envs, self.final_observations, self._add_info)
        return self._observed(news), self._memory.arrays["rewards"].copy(), terminated, truncated, infos

    def begin_in_place(self, actions: Any) -> None:
        """Keep the actions for :meth:`finish_in_place`: nothing runs in between."""
        self._pending = actions

    def finish_in_place(self, timeout: float | None = None) -> Infos:
        """Step into ``block``, without copies; returns the infos.

        ``timeout`` has no effect: nothing can interrupt an environment in this process.
        """
        news = self._advance(self._pending)
        return {} if news is None else gather_infos([news], self._add_info) | ended_infos([news])

    def keep_infos(self, keys: Sequence[str] | None, final_keys: Collection[str] | None = ()) -> None:
        """As :meth:`StepsInPlace.keep_infos`."""
        self._own.do("keep_infos", (keys, final_keys))

    def close_extras(self, **kwargs: Any) -> None:
        """Close every environment, even if another one fails to close."""
        if hasattr(self, "_shard"):
            self._shard.close()

    def _advance(self, actions: Any) -> StepNews | None:
        block, batch = self._actions, actions
        if block is not None:
            batch = np.asarray(actions)
        if block is not None and batch.shape == block.shape and batch.dtype == block.dtype:
            each = batch.copy()  # an environment may keep its action, and the caller may overwrite the batch
        else:  # as in Gymnasium, an environment gets its action as the caller wrote it, even if it does not fit
            each = list(iterate(self.action_space, actions))
            if len(each) != self.num_envs:
                raise ValueError(f"{len(each)} actions for {self.num_envs} environments")
        news: StepNews | None = self._own.do("step", each)
        if news is not None:
            self.rebuilder.told([news])
        return news

    def _observed(self, news: StepNews | None) -> Any:
        told = [] if news is None else [news]
        self.observations, shown = gather_observations(self._memory, told, self.observations, self.copy)
        return shown


def _make(env_fn: EnvFn, index: int, made: list[Env[Any, Any]]) -> Env[Any, Any]:
    try:
        made.append(env_fn())
    except BaseException as error:
        _fail(error, index, "its constructor")
    return made[-1]


def _fail(error: BaseException, env: int | None, where: str) -> NoReturn:
    """Raise ``error`` as the environment did, with notes that name the environment and hold its traceback.

    What is no Exception, like SystemExit, would end this process: it becomes an :class:`EnvironmentFailure`.
    """
    if not isinstance(error, Exception) and not users_own(error):
        raise named_failure(error, "an environment" if env is None else f"environment {env}", where) from None
    if isinstance(error, ContractError):
        raise EnvironmentFailure(f"environment {env} {error} in {where}") from None
    if env is not None:
        line = f"environment {env} raised {type(error).__name__} in {where}{FOLLOWS}"
        error.__notes__ = [line, "".join(traceback.format_exception(error))]  # its own notes are in the traceback
    raise error
