"""A shard: a contiguous slice of the environments that step one after the other in one process."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Env, Space
from gymnasium.vector.utils import write_to_shared_memory
from numpy.typing import NDArray

from a2c.envs.contract import fitting_observation, real_reward
from a2c.envs.final_infos import plain_info
from a2c.envs.foreign import close_all
from a2c.envs.rebuilding.beginnings import Beginnings
from a2c.envs.rebuilding.calls import Call
from a2c.machine.processes.shared_arrays import SharedArrays

IDLE = -1  # in the "current" cell of a shard: it runs no environment


@dataclass(slots=True)
class ShardMemory:
    """The memory that the environments of all shards write to; each shard uses its own rows.

    Arrays: rewards [N] float64, flags [2, N] bool (terminated and truncated), current [shards] int64 (the environment
    that a shard runs now), origins [KEPT, N, 1 + WORDS] (:class:`a2c.envs.rebuilding.beginnings.Beginnings`), calls
    [shards] int64 (:class:`a2c.envs.rebuilding.pulse.Pulsing`); observations and final_observations [N, *shape] and
    actions [N, *shape] where the spaces are arrays. ``nested`` is Gymnasium's shared memory for other observation
    spaces that have one.
    """

    arrays: SharedArrays
    observations: bool
    actions: bool
    space: Space[Any] | None = None
    nested: Any = None

    @property
    def num_envs(self) -> int:
        return len(self.arrays["rewards"])


Infos = list[tuple[int, dict[str, Any], dict[str, Any] | None]]  # (environment, info, info of the episode that ended)

# Infos; observations and final observations where no memory holds them; and what get_state gave before resets:
# (environment, number of its episode) -> state
StepNews = tuple[Infos, list[Any] | None, dict[int, Any], dict[tuple[int, int], Any]]


class Shard:
    """Environments first .. first + num_envs - 1 and the loop that steps them."""

    def __init__(self, worker: int, first: int, num_envs: int, autoreset: str, memory: ShardMemory) -> None:
        self.worker, self.first, self.num_envs = worker, first, num_envs
        self.autoreset, self.memory = autoreset, memory
        self.envs: list[Env[Any, Any]] = []
        self.env_fns: Sequence[Callable[[], Env[Any, Any]]] = ()
        self.beginnings: Beginnings | None = None
        self.calls: list[Call] = []  # that all environments have had
        self.doing = "its constructor"
        self._steps = 0
        self.must_reset = [False] * num_envs  # NEXT_STEP: the episode ended in the step before
        self._info_keys: frozenset[str] | None = None  # None: report infos whole
        self._final_keys: frozenset[str] | None = frozenset()  # else, of infos with which episodes end, as plain data
        rows = slice(first, first + num_envs)
        arrays = memory.arrays
        self._current: Any = arrays["current"][worker : worker + 1].data  # a memoryview writes faster than an array
        self._rewards: Any = arrays["rewards"][rows].data
        self._flags = arrays["flags"][:, rows]
        self._terminated: Any = self._flags[0].data
        self._truncated: Any = self._flags[1].data
        self._actions = arrays["actions"][rows] if memory.actions else None
        self._observations = arrays["observations"][rows] if memory.observations else None
        self._rows = [] if self._observations is None else _writable_rows(self._observations)
        self._finals = arrays["final_observations"][rows] if memory.observations else None
        self._by_pipe: list[Any] = [None] * num_envs  # latest observations, where no memory can hold them

    def at_fault(self) -> int | None:
        """Global index of the environment that runs now."""
        return None if self._current[0] == IDLE else int(self._current[0])

    def begin(self, env: int, doing: str) -> None:
        """Mark that an environment runs, by its global index, and what it does."""
        self._current[0], self.doing = env, doing

    def rest(self) -> None:
        """Mark that no environment runs."""
        self._current[0] = IDLE

    def build(self, env_fns: Sequence[Callable[[], Env[Any, Any]]]) -> None:
        """Make the environments; raises what a constructor raises."""
        self.env_fns = env_fns
        for index, env_fn in enumerate(env_fns, start=self.first):
            self._current[0] = index
            self.envs.append(env_fn())

    def renew(self) -> None:
        """Close the environments and make others in their place; raises what a constructor raises."""
        self.close()
        self.envs.clear()
        self.must_reset[:] = [False] * self.num_envs
        self.build(self.env_fns)

    def step(self, by_pipe: Sequence[Any] | None) -> StepNews | None:
        """Step every environment once; returns None if nothing but shared memory has changed.

        Args:
            by_pipe: the actions, where the action space does not fit in shared memory.

        Raises:
            ContractError: an environment returned what it may not.
            Exception: what an environment raised.
        """
        self._steps += 1
        self.doing = f"step {self._steps}"
        # A copy, because an environment may keep its action, and the row is overwritten by the next one.
        actions: Any = self._actions.copy() if by_pipe is None and self._actions is not None else by_pipe
        same_step, next_step = self.autoreset == "SameStep", self.autoreset == "NextStep"
        rows, rewards = self._rows, self._rewards
        shape, dtype = (rows[0].shape, self._observations.dtype) if rows else (None, None)  # type: ignore[union-attr]
        current, must_reset, array, first = self._current, self.must_reset, np.ndarray, self.first
        keys, final_keys = self._info_keys, self._final_keys
        tell = keys != frozenset() or final_keys != frozenset()
        beginnings = self.beginnings
        infos: Infos = []
        finals: dict[int, Any] = {}
        self._flags[...] = False  # few rows end: cheaper than writing every one

        # Every line of this loop runs N times a step: to an environment of 5 us it adds 0.5 us.
        for row, (env, action) in enumerate(zip(self.envs, actions, strict=True)):
            current[0] = first + row
            if next_step and must_reset[row]:
                obs, info = env.reset() if beginnings is None else beginnings.reset(row)
                reward, term, trunc = 0.0, False, False
                must_reset[row] = False
            else:
                obs, reward, term, trunc, info = env.step(action)  # type: ignore[assignment]
            rewards[row] = reward if type(reward) is float else real_reward(reward)
            final_info = None
            if term or trunc:
                self._terminated[row], self._truncated[row] = term, trunc
                if same_step:
                    self._store_final(row, obs, finals)
                    final_info = info
                    obs, info = env.reset() if beginnings is None else beginnings.reset(row)
                elif next_step:
                    must_reset[row] = True
            if type(obs) is array and obs.dtype is dtype and obs.shape == shape:
                rows[row][:] = obs
            else:
                self.store(row, obs)
            if tell and (info or final_info):
                if keys is not None:
                    info = _only(keys, info) if keys else {}
                    final_info = plain_info(final_info, final_keys) if final_info else None
                if info or final_info:
                    infos.append((first + row, info, final_info))

        states = self._states() if beginnings is not None and beginnings.states else {}
        if infos or finals or states or not self._in_memory:
            return infos, None if self._in_memory else self._by_pipe, finals, states
        return None

    def keep_infos(self, keys: Sequence[str] | None, final_keys: Collection[str] | None = ()) -> None:
        """As :meth:`a2c.envs.vector.in_place.StepsInPlace.keep_infos`."""
        self.doing = "keeping of infos"
        self._info_keys = None if keys is None else frozenset(keys)
        self._final_keys = None if final_keys is None else frozenset(final_keys)

    def reset(self, seeds: Sequence[int | None], options: Any, mask: NDArray[np.bool_] | None) -> StepNews:
        """Reset the environments in ``mask``, or all if it is None, each with its own seed; raises as :meth:`step`."""
        self.doing = "reset"
        infos: Infos = []
        for row, (env, seed) in enumerate(zip(self.envs, seeds, strict=True)):
            if mask is None or mask[row]:
                self._current[0] = self.first + row
                reset = env.reset if self.beginnings is None else functools.partial(self.beginnings.reset, row)
                obs, info = reset(seed=seed, options=options)
                self.must_reset[row] = False
                self.store(row, obs)
                if self._info_keys is not None:
                    info = _only(self._info_keys, info)
                if info:
                    infos.append((self.first + row, info, None))
        return self.news(infos)

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Call a method of every environment, or read an attribute that is not callable.

        Raises:
            ValueError: as in Gymnasium, for a name that has a method of its own.
        """
        self.doing = f"call of {name!r}"
        if name in ("reset", "step", "close", "_setattr", "_check_spaces"):
            raise ValueError(f"Trying to call function `{name}` with `call`, use `{name}` directly instead.")
        results = []
        for index, env in enumerate(self.envs, start=self.first):
            self._current[0] = index
            attribute = env.get_wrapper_attr(name)
            results.append(attribute(*args, **kwargs) if callable(attribute) else attribute)
        return results

    def set_attribute(self, name: str, values: Sequence[Any]) -> None:
        """Set an attribute of each environment to its own value."""
        self.doing = f"setting of {name!r}"
        for index, (env, value) in enumerate(zip(self.envs, values, strict=True), start=self.first):
            self._current[0] = index
            env.set_wrapper_attr(name, value)

    def close(self) -> None:
        """Close every environment, even if another one fails to close or hangs."""
        close_all({f"environment {index}": env.close for index, env in enumerate(self.envs, start=self.first)})

    def news(self, infos: Infos) -> StepNews:
        """What the main process must hear of a reset."""
        return infos, None if self._in_memory else self._by_pipe, {}, self._states()

    @property
    def _in_memory(self) -> bool:
        return self._observations is not None or self.memory.nested is not None

    def _states(self) -> dict[tuple[int, int], Any]:
        """What get_state gave since it was told last, by (environment, number of the episode)."""
        told = {} if self.beginnings is None else self.beginnings.told()
        return {(self.first + row, number): state for (row, number), state in told.items()}

    def store(self, row: int, obs: Any) -> None:
        """Write an observation where the main process reads it; raises :class:`ContractError`."""
        if self._observations is not None:
            self._observations[row] = fitting_observation(obs, self._observations.shape[1:], self._observations.dtype)
        elif self.memory.nested is not None:
            assert self.memory.space is not None
            write_to_shared_memory(self.memory.space, self.first + row, obs, self.memory.nested)
        else:
            self._by_pipe[row] = obs

    def _store_final(self, row: int, obs: Any, finals: dict[int, Any]) -> None:
        """Keep the last observation of an episode, before reset may overwrite the environment's own buffer."""
        if self._finals is not None:
            self._finals[row] = fitted = fitting_observation(obs, self._finals.shape[1:], self._finals.dtype)
            if fitted is obs or self._info_keys is not None:
                return
        finals[self.first + row] = deepcopy(obs)  # memory does not hold it as the environment returned it


def _writable_rows(block: NDArray[Any]) -> list[Any]:
    """The rows of ``block`` for ``row[:] = array``; as memoryviews where they can be, which takes half the time.

    Empty where a row is a single number.
    """
    return [row.data if row.ndim == 1 else row for row in block] if block.ndim > 1 else []


def _only(keys: frozenset[str], info: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in (info or {}).items() if key in keys}
