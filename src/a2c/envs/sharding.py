"""What is settled before the first worker runs: arguments, spaces, memory, and who steps which environments."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
import numpy as np
from gymnasium import Env, Space
from gymnasium.envs.registration import EnvSpec, registry
from gymnasium.error import CustomSpaceError
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector.utils import batch_space, create_shared_memory
from numpy.typing import NDArray

from a2c.envs.pool import WorkerPool, environ_for_workers
from a2c.envs.shard import IDLE, ShardMemory
from a2c.envs.shared import Fields, SharedArrays
from a2c.envs.worker import Orders, Parcel

EnvFns = Sequence[Callable[[], Env[Any, Any]]]


@dataclass(slots=True)
class Description:
    """What one environment says about all of them."""

    metadata: dict[str, Any]
    render_mode: str | None
    single_action: Space[Any]
    action: Space[Any]
    single_observation: Space[Any]
    observation: Space[Any]


def worker_count(num_envs: int, worker: Any, max_concurrency: Any, num_workers: int | None) -> int:
    """K: as asked, else one per usable core; at most N, at most ``max_concurrency``, as a worker runs one at a time.

    Raises:
        ValueError: an argument that Gymnasium's class would reject, or a custom worker, which cannot apply.
    """
    if worker is not None:
        raise ValueError(
            "ShardedAsyncVectorEnv steps many environments in each worker, so a custom `worker`, which speaks for one, "
            "cannot apply; use gymnasium.vector.AsyncVectorEnv"
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
    return int(min(num_workers or usable_cores(), max_concurrency or num_envs, num_envs))


def usable_cores() -> int:
    """Cores that this process may use, which a container or a batch system may have cut down."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe(
    env_fn: Callable[[], Env[Any, Any]], num_envs: int, mode: str | tuple[Space[Any], Space[Any]]
) -> Description:
    """Make environment 0 once in this process, as Gymnasium does, to learn the spaces; then close it."""
    if not (mode in ("same", "different") if isinstance(mode, str) else isinstance(mode, tuple) and len(mode) == 2):
        raise ValueError(
            "Invalid `observation_mode`, expected: 'same' or 'different' or tuple of single and batch observation "
            f"space, actual got {mode}"
        )
    try:
        env = env_fn()
    except Exception as error:
        error.add_note("environment 0 raised this in its constructor (in the main process, to learn its spaces)")
        raise
    try:
        if isinstance(mode, tuple):
            batched, single = mode
            if not isinstance(batched, Space) or not isinstance(single, Space):
                raise TypeError(
                    "Expected both elements of observation_mode to be Spaces, "
                    f"got {type(batched)} and {type(single)}"
                )
        else:
            single = env.observation_space
            batched = batch_space(single, num_envs)  # with "different", replaced once the workers have told theirs
        action = env.action_space
        return Description(
            dict(env.metadata), env.render_mode, action, batch_space(action, num_envs), single, batched
        )
    finally:
        env.close()


def allocate(
    spaces: Description, num_envs: int, num_workers: int, shared_memory: bool, context: Any
) -> ShardMemory:
    """The memory that all shards write to; see ShardMemory for its arrays.

    Raises:
        ValueError: with ``shared_memory``, for a custom observation space.
    """
    fields: dict[str, tuple[tuple[int, ...], Any]] = {
        "rewards": ((num_envs,), np.float64),
        "terminated": ((num_envs,), np.bool_),
        "truncated": ((num_envs,), np.bool_),
        "current": ((num_workers,), np.int64),
    }
    observation, action = spaces.single_observation, spaces.single_action
    in_arrays = shared_memory and _is_array(observation)
    if in_arrays:
        fields["observations"] = fields["final_observations"] = _rows(num_envs, observation)
    if _is_array(action):
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
    memory = ShardMemory(SharedArrays(fields), in_arrays, _is_array(action), observation, nested)
    memory.arrays["current"][:] = IDLE
    return memory


def hire(
    pool: WorkerPool, env_fns: EnvFns, num_workers: int, spaces: Description, mode: Any, autoreset: str, memory: ShardMemory
) -> None:
    """Start all workers, each with its share of the environments; they build them at the same time."""
    bounds = [-(-len(env_fns) * k // num_workers) for k in range(num_workers + 1)]
    told_spaces = Parcel((mode, spaces.single_observation, spaces.single_action))
    registered = Parcel(_registered_elsewhere())
    environ = environ_for_workers()
    for k in range(num_workers):
        shard = list(env_fns[bounds[k] : bounds[k + 1]])
        orders = Orders(
            k, bounds[k], len(shard), Parcel(shard), told_spaces, registered, environ, autoreset, memory, os.getpid()
        )
        try:
            pool.start(orders)
        except Exception as error:
            _name_culprit(error, shard, bounds[k])
            raise
    memory.arrays.close_file()


def _registered_elsewhere() -> dict[str, EnvSpec]:
    """Environments that a worker would not find by importing Gymnasium, as it does not run the user's script."""
    found = {}
    for name, spec in registry.items():
        if isinstance(spec.entry_point, str) and spec.entry_point.startswith("gymnasium."):
            continue
        try:
            cloudpickle.dumps(spec)
        except Exception:
            continue  # then only an env_fn that asks for it fails, and says so
        found[name] = spec
    return found


def _name_culprit(error: Exception, env_fns: EnvFns, first: int) -> None:
    """Note on ``error`` which environment function cannot be pickled, if one cannot."""
    for env, env_fn in enumerate(env_fns, start=first):
        try:
            cloudpickle.dumps(env_fn)
        except Exception:
            error.add_note(f"the function that makes environment {env} cannot be sent to a worker process")
            return


def _is_array(space: Space[Any]) -> bool:
    return isinstance(space, (Box, Discrete, MultiBinary, MultiDiscrete))


def _rows(num_envs: int, space: Space[Any]) -> tuple[tuple[int, ...], Any]:
    assert space.shape is not None
    return (num_envs, *space.shape), space.dtype


def take_mask(
    options: dict[str, Any] | None, num_envs: int
) -> tuple[NDArray[np.bool_] | None, dict[str, Any] | None]:
    """Split ``options`` into reset_mask and the rest, with Gymnasium's checks; the caller's dictionary stays whole."""
    if options is None or "reset_mask" not in options:
        return None, options
    mask = options["reset_mask"]
    if not isinstance(mask, np.ndarray):
        raise TypeError(f"`options['reset_mask']` must be a numpy array, got {type(mask)}")
    if mask.shape != (num_envs,):
        raise ValueError(f"`options['reset_mask']` must have shape `({num_envs},)`, got {mask.shape}")
    if mask.dtype != np.bool_:
        raise TypeError(f"`options['reset_mask']` must have `dtype=np.bool_`, got {mask.dtype}")
    if not mask.any():
        raise ValueError(
            f"`options['reset_mask']` must contain a boolean array with at least one True value, got reset_mask={mask}"
        )
    return mask, {key: value for key, value in options.items() if key != "reset_mask"}


def seeds_for(seed: Any, num_envs: int) -> list[int | None]:
    """One seed per environment: ``seed + i`` from an integer, or the given list."""
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, (int, np.integer)):
        return [int(seed) + i for i in range(num_envs)]
    seeds = list(seed)
    if len(seeds) != num_envs:
        raise ValueError(
            f"If seeds are passed as a list the length must match num_envs={num_envs} but got length={len(seeds)}."
        )
    return seeds
