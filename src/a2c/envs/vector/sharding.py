"""Before the first worker runs: check arguments, learn spaces, allocate memory, and split environments into shards."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import Env, Space
from gymnasium.error import CustomSpaceError
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector.utils import batch_space, create_empty_array, create_shared_memory, read_from_shared_memory

from a2c.envs.foreign import close_in_time
from a2c.envs.rebuilding.beginnings import beginnings_memory
from a2c.envs.vector.shard import IDLE, ShardMemory
from a2c.envs.vector.shard_worker import WorkerSpec, run_worker
from a2c.machine.cores import usable_cores
from a2c.machine.processes.apart import call_apart
from a2c.machine.processes.launch import Registered, environ_for_workers
from a2c.machine.processes.pickles import Pickled, dumps_by_value
from a2c.machine.processes.pool import WorkerPool
from a2c.machine.processes.shared_arrays import SharedArrays

EnvFns = Sequence[Callable[[], Env[Any, Any]]]


@dataclass(slots=True)
class Description:
    """What one environment tells about all of them: metadata, render mode, spaces."""

    metadata: dict[str, Any]
    render_mode: str | None
    single_action: Space[Any]
    action: Space[Any]
    single_observation: Space[Any]
    observation: Space[Any]


def share_out(
    num_envs: int, worker: Any, max_concurrency: Any, num_workers: int | None, main_shard: bool
) -> list[range]:
    """Split the environments into shards: one for each of K workers and, with ``main_shard``, a last one of our own.

    K is ``num_workers``; if that is None, there is one shard per usable core. There are at most N shards, and at most
    ``max_concurrency``, because a process runs one environment at a time.

    Raises:
        ValueError: an argument that Gymnasium's class would reject, or a custom ``worker``.
    """
    if worker is not None:
        raise ValueError(
            "ShardedAsyncVectorEnv steps many environments in each worker, so it cannot use a custom `worker`, which "
            "steps one; use gymnasium.vector.AsyncVectorEnv"
        )
    if num_envs < 1:
        raise ValueError("`env_fns` must hold at least one function")
    for name, value in (("max_concurrency", max_concurrency), ("num_workers", num_workers)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise ValueError(f"`{name}` must be an integer or None, got {type(value)}.")
        if value < 1:
            raise ValueError(f"`{name}` must be positive or None, got {value}.")
    wanted = num_workers + main_shard if num_workers else usable_cores()
    count = int(min(wanted, max_concurrency or num_envs, num_envs))
    bounds = [-(-num_envs * k // count) for k in range(count + 1)]
    return [range(first, end) for first, end in itertools.pairwise(bounds)]


def describe(
    env_fn: Callable[[], Env[Any, Any]],
    num_envs: int,
    mode: str | tuple[Space[Any], Space[Any]],
    apart: bool = False,
) -> Description:
    """Make environment 0 once in this process, as Gymnasium does, to learn the spaces; then close it.

    Args:
        env_fn: makes environment 0.
        num_envs: N.
        mode: "same", "different" or (batched space, single space), as in Gymnasium.
        apart: make it in a process of its own instead.

    Raises:
        ValueError, TypeError: as in Gymnasium, for another mode.
        Exception: what the environment's constructor raised.
    """
    if apart:
        return call_apart(describe, env_fn, num_envs, mode)  # type: ignore[no-any-return]
    if not (mode in ("same", "different") if isinstance(mode, str) else isinstance(mode, tuple) and len(mode) == 2):
        raise ValueError(
            "Invalid `observation_mode`, expected: 'same' or 'different' or tuple of single and batch observation "
            f"space, actual got {mode}"
        )
    try:
        env = env_fn()
    except BaseException as error:
        error.add_note("environment 0 raised this in its constructor (in the main process, to learn its spaces)")
        raise
    try:
        if isinstance(mode, tuple):
            batched, single = mode
            if not isinstance(batched, Space) or not isinstance(single, Space):
                raise TypeError(
                    f"Expected both elements of observation_mode to be Spaces, got {type(batched)} and {type(single)}"
                )
        else:
            single = env.observation_space
            batched = batch_space(single, num_envs)  # "different" replaces it once the workers report theirs
        action = env.action_space
        return Description(dict(env.metadata), env.render_mode, action, batch_space(action, num_envs), single, batched)
    finally:
        close_in_time(env.close, "environment 0")


def allocate(
    spaces: Description, num_envs: int, num_shards: int, shared_memory: bool, context: Any
) -> tuple[ShardMemory, Any]:
    """Allocate the memory that all shards write to (see ShardMemory for its arrays) and the batch of observations.

    Args:
        spaces: of the environments.
        num_envs: N.
        num_shards: how many shards.
        shared_memory: keep observations in shared memory.
        context: the multiprocessing context, for Gymnasium's own shared memory.

    Raises:
        ValueError: with ``shared_memory``, for a custom observation space.
    """
    fields: dict[str, tuple[tuple[int, ...], Any]] = {
        "rewards": ((num_envs,), np.float64),
        "flags": ((2, num_envs), np.bool_),
        **dict.fromkeys(("current", "calls"), ((num_shards,), np.int64)),
        "origins": beginnings_memory(num_envs),
    }
    observation, action = spaces.single_observation, spaces.single_action
    in_arrays = shared_memory and is_array(observation)
    if in_arrays:
        fields["observations"] = fields["final_observations"] = _rows(num_envs, observation)
    if is_array(action):
        fields["actions"] = _rows(num_envs, action)
    nested = None
    if shared_memory and not in_arrays:
        try:
            nested = create_shared_memory(observation, n=num_envs, ctx=context)
        except CustomSpaceError as error:
            raise ValueError(
                "Using `AsyncVector(..., shared_memory=True)` caused an error, you can disable this feature with "
                "`shared_memory=False` however this is slower."
            ) from error
    memory = ShardMemory(SharedArrays(fields), in_arrays, is_array(action), observation, nested)
    memory.arrays["current"][:] = IDLE
    if in_arrays:
        return memory, memory.arrays["observations"]
    if nested is not None:
        return memory, read_from_shared_memory(observation, nested, n=num_envs)
    return memory, create_empty_array(observation, n=num_envs, fn=np.zeros)


def start_workers(
    pool: WorkerPool,
    env_fns: EnvFns,
    shares: Sequence[range],
    spaces: tuple[Any, ...],
    autoreset: str,
    memory: ShardMemory,
    spin: float,
) -> None:
    """Start a worker for each share of the environments; all of them build theirs at the same time.

    Args:
        pool: starts and holds the workers.
        env_fns: make the environments, all N.
        shares: the environments of each worker.
        spaces: (observation mode, single observation space, single action space), which all must fit.
        autoreset: value of the autoreset mode.
        memory: that all shards write to.
        spin: seconds that a worker waits awake for its next command.

    Raises:
        Exception: an environment function cannot be pickled; a note says which.
    """
    told_spaces, registered, environ = Pickled(spaces), Registered(), environ_for_workers()
    for k, share in enumerate(shares):
        shard = list(env_fns[share.start : share.stop])
        spec = WorkerSpec(
            worker=k,
            first=share.start,
            num_envs=len(share),
            env_fns=Pickled(shard),
            spaces=told_spaces,
            registered=registered,
            environ=environ,
            autoreset=autoreset,
            memory=memory,
            parent_pid=os.getpid(),
            spin=spin,
        )
        try:
            pool.start(run_worker, spec, share)
        except Exception as error:
            _name_culprit(error, shard, share.start)
            raise


def check_spaces(answers: Sequence[Any], mode: Any, action_space: Space[Any]) -> None:
    """Check that the environments' spaces can be batched.

    Args:
        answers: of every shard: how its environments' spaces compare.
        mode: the observation mode.
        action_space: of environment 0.

    Raises:
        RuntimeError: they cannot; Gymnasium's text and the first environment that differs.
    """
    observations_fit, actions_fit = ([fit for answer in answers for fit in answer[k]] for k in (0, 1))
    if not all(observations_fit):
        env = observations_fit.index(False)
        if isinstance(mode, str) and mode == "same":
            raise RuntimeError(
                "AsyncVectorEnv(..., observation_mode='same') however some of the sub-environments observation spaces "
                f"are not equivalent. Environment {env} differs from environment 0. "
                "If this is intentional, use `observation_mode='different'` instead."
            )
        raise RuntimeError(
            "AsyncVectorEnv(..., observation_mode='different' or custom space) however the sub-environment's "
            f"observation spaces do not share a common shape and dtype: environment {env} differs."
        )
    if not all(actions_fit):
        raise RuntimeError(
            f"Some environments have an action space different from `{action_space}`, the first being environment "
            f"{actions_fit.index(False)}. "
            "In order to batch actions, the action spaces from all environments must be equal."
        )


def _name_culprit(error: Exception, env_fns: EnvFns, first: int) -> None:
    """Note on ``error`` which environment function cannot be pickled, if one cannot."""
    for env, env_fn in enumerate(env_fns, start=first):
        try:
            dumps_by_value(env_fn)
        except Exception:
            error.add_note(f"the function that makes environment {env} cannot be sent to a worker process")
            return


def is_array(space: Space[Any]) -> bool:
    """Whether what the space holds is one array."""
    return isinstance(space, (Box, Discrete, MultiBinary, MultiDiscrete))


def _rows(num_envs: int, space: Space[Any]) -> tuple[tuple[int, ...], Any]:
    assert space.shape is not None
    return (num_envs, *space.shape), space.dtype
