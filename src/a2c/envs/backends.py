"""How the lockstep steps a vector environment: any of Gymnasium's, or one of ours without copies."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Space
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from a2c.envs.contract import space_tree
from a2c.envs.rebuilding.calls import Call
from a2c.envs.rebuilding.in_flight import KeptInfos, Rebuilder
from a2c.envs.remarks import MASKS
from a2c.envs.vector.in_place import Block, StepsInPlace
from a2c.errors import ConfigError, EnvironmentFailure
from a2c.machine.processes.foreign_code import of_others
from a2c.maths.trees import tree_map

# obs [N, *obs] a tree, rewards [N] float64, terminated [N] and truncated [N] bool, infos; all valid until the next step
Stepped = tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]
AnyVectorEnv = VectorEnv[Any, Any, Any]


class Backend:
    """Any Gymnasium vector environment.

    Args:
        envs: the vector environment.
        timeout: seconds for one reset or step, where it has ``step_wait(timeout)``.
    """

    def __init__(self, envs: AnyVectorEnv, timeout: float | None) -> None:
        self.envs, self.timeout = envs, timeout
        self.final_observations: NDArray[Any] | None = getattr(envs, "final_observations", None)  # [N, *obs]
        self.kept_infos: KeptInfos = ((), ())  # the only ones that anyone reads, where the environments are told
        # Not a wrapper's, which passes on what it wraps: it would rebuild past the wrapper.
        self.rebuilder: Rebuilder | None = vars(envs).get("rebuilder")
        if self.rebuilder is not None:
            self.rebuilder.step_timeout = timeout
        self.observations: NDArray[Any] | None = None  # [N, *obs]  memory that every step writes to, if known
        wait = getattr(envs, "step_wait", None)
        waits = wait is not None and "timeout" in inspect.signature(wait).parameters
        self._in_time = timeout is not None and waits
        # Not by attribute: a wrapper passes on the attributes of what it wraps, and we must not bypass its own step.
        self._in_background = self._in_time or isinstance(envs, AsyncVectorEnv)
        self._pending: Any = None
        self._leaves = space_tree(envs.single_observation_space)
        base = envs.unwrapped
        self._seeds_each = isinstance(base, (SyncVectorEnv, AsyncVectorEnv)) or getattr(base, "seeds_each_env", False)

    def reset(self, seeds: Sequence[int]) -> tuple[Any, dict[str, Any]]:
        """Reset environment i from ``seeds[i]``; all from ``seeds[0]`` where the vector environment takes only one.

        Returns:
            ``[N, *obs]`` observations, a tree of arrays, and infos.
        """
        return of_others(self._reset, [int(seed) for seed in seeds] if self._seeds_each else int(seeds[0]), None)

    def reset_some(self, mask: NDArray[np.bool_]) -> tuple[Any, dict[str, Any]]:
        """Reset the environments in ``mask``, bool ``[N]``; returns as :meth:`reset`."""
        return of_others(self._reset, None, {"reset_mask": mask})

    def note_ends(self, keys: Collection[str] | None) -> None:
        """From now on tell these keys of the infos with which episodes end, too; None: all. Most tell them anyway."""

    def call(self, call: Call) -> list[Any]:
        """Make a call of every environment, or of a vector environment that passes none on; returns what they gave."""
        return of_others(self._call if self.rebuilder is None else self.rebuilder.call, call)

    def _call(self, call: Call) -> list[Any]:
        if isinstance(self.envs, AsyncVectorEnv):
            self.envs.call_async(call.name, *call.args, **call.kwargs)
            return list(self.envs.call_wait(timeout=self.timeout))
        each = getattr(self.envs, "call", None)
        if each is not None:
            return list(each(call.name, *call.args, **call.kwargs))
        return [getattr(self.envs, call.name)(*call.args, **call.kwargs)]

    def begin(self, actions: NDArray[Any]) -> None:
        """Begin a step of every environment; those in this process take it in :meth:`finish`."""
        if self._in_background:
            self.envs.step_async(actions)  # type: ignore[attr-defined]
        else:
            self._pending = actions

    def finish(self) -> Stepped:
        """Wait for the step and return its result.

        Raises:
            EnvironmentFailure: rewards or flags do not have shape ``[N]``.
            Exception: what the vector environment raised.
        """
        obs, rewards, terminated, truncated, infos = of_others(self._wait)
        rewards = np.asarray(rewards, np.float64)
        terminated, truncated = np.asarray(terminated, np.bool_), np.asarray(truncated, np.bool_)
        num_envs = self.envs.num_envs
        if not rewards.shape == terminated.shape == truncated.shape == (num_envs,):
            shapes = f"{rewards.shape}, {terminated.shape} and {truncated.shape}"
            raise EnvironmentFailure(f"rewards and flags have shapes {shapes}; each must be ({num_envs},)")
        return self._arrays(obs), rewards, terminated, truncated, infos

    def _wait(self) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        if not self._in_background:
            return self.envs.step(self._pending)
        limit = {"timeout": self.timeout} if self._in_time else {}
        return self.envs.step_wait(**limit)  # type: ignore[attr-defined, no-any-return]

    def _reset(self, seed: Any, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        if self._in_time:
            self.envs.reset_async(seed=seed, options=options)  # type: ignore[attr-defined]
            obs, infos = self.envs.reset_wait(timeout=self.timeout)  # type: ignore[attr-defined]
        else:
            obs, infos = self.envs.reset(seed=seed, options=options)
        return self._arrays(obs), infos

    def _arrays(self, obs: Any) -> Any:
        """Observations as arrays, in the structure of their space."""
        if isinstance(self._leaves, Space):
            return np.asarray(obs)
        try:
            return tree_map(lambda _, part: np.asarray(part), self._leaves, obs)
        except (KeyError, ValueError, TypeError) as error:
            raise EnvironmentFailure(
                f"observations are a {type(obs).__name__} of other parts than their space has: {error!r}"
            ) from error


class InPlaceBackend(Backend):
    """One of our own vector environments: we read a step where it was written.

    Args:
        envs: the vector environment.
        block: its arrays.
        timeout: seconds for one reset or step, where it steps in other processes.
        info_keys: the only infos that anyone reads of a step, so that no others are pickled, sent and gathered.
    """

    def __init__(self, envs: AnyVectorEnv, block: Block, timeout: float | None, info_keys: Sequence[str]) -> None:
        super().__init__(envs, timeout)
        self._obs, self._rewards = block.observations, block.rewards
        self._terminated, self._truncated = block.flags
        self.kept_infos = (info_keys, ())
        self._begin: Any = envs.begin_in_place  # type: ignore[attr-defined]
        self._finish: Any = envs.finish_in_place  # type: ignore[attr-defined]
        self.observations = block.observations

    def _reset(self, seed: Any, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        if options is not None:  # some of them, later on
            return super()._reset(seed, options)
        keys, final_keys = self.kept_infos
        self.envs.keep_infos((*keys, *MASKS))  # type: ignore[attr-defined]
        given = super()._reset(seed, options)
        self.envs.keep_infos(keys, final_keys)  # type: ignore[attr-defined]
        return given

    def note_ends(self, keys: Collection[str] | None) -> None:
        self.kept_infos = (self.kept_infos[0], keys)
        of_others(self.envs.keep_infos, self.kept_infos[0], keys)  # type: ignore[attr-defined]

    def begin(self, actions: NDArray[Any]) -> None:
        self._begin(actions)

    def finish(self) -> Stepped:
        infos = of_others(self._finish, self.timeout)
        return self._obs, self._rewards, self._terminated, self._truncated, infos


class SendingBackend(Backend):
    """ale-py's vector environment: its threads step the games between :meth:`begin` and :meth:`finish`.

    Its ``send`` and ``recv`` keep no order: what is received may belong to another call, and without a ``send`` nothing
    ever comes. So every call here that is out of turn raises :class:`a2c.errors.EnvironmentFailure`.
    """

    def __init__(self, envs: AnyVectorEnv, timeout: float | None) -> None:
        super().__init__(envs, timeout)
        self._under_way = False

    def begin(self, actions: NDArray[Any]) -> None:
        self._in_turn("step", after_send=False)
        self.envs.send(actions)  # type: ignore[attr-defined]
        self._under_way = True

    def _wait(self) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self._in_turn("wait", after_send=True)
        received = self.envs.recv()  # type: ignore[attr-defined]
        self._under_way = False
        return received  # type: ignore[no-any-return]

    def _reset(self, seed: Any, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        self._in_turn("reset", after_send=False)
        return super()._reset(seed, options)

    def _in_turn(self, call: str, after_send: bool) -> None:
        if self._under_way is not after_send:
            raise EnvironmentFailure(f"{call}: {'a' if self._under_way else 'no'} step is under way")


def backend_of(envs: AnyVectorEnv, timeout: float | None, info_keys: Sequence[str]) -> Backend:
    """The cheapest way to step ``envs``.

    Only an instance of exactly our own classes steps in place or by ``send`` and ``recv``: a wrapper or a subclass may
    have a ``step`` that gives something else, which we must not bypass.

    Args:
        envs: any vector environment.
        timeout: seconds for one reset or step, where it steps in other processes; None waits for ever.
        info_keys: the infos that the caller reads.
    """
    if StepsInPlace in type(envs).__bases__:
        block: Block | None = envs.block  # type: ignore[attr-defined]
        if block is not None:
            return InPlaceBackend(envs, block, timeout, info_keys)
    if vars(type(envs)).get("sends", False):  # its own class says so: subclasses inherit, wrappers pass on
        return SendingBackend(envs, timeout)
    return Backend(envs, timeout)


def autoreset_mode(envs: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    """How a vector environment resets, by its metadata.

    Raises:
        ConfigError: its metadata do not say.
    """
    mode = (envs.metadata or {}).get("autoreset_mode")
    try:
        return mode if isinstance(mode, AutoresetMode) else AutoresetMode(mode)
    except ValueError:
        raise ConfigError(
            f"{envs} has metadata['autoreset_mode']={mode}; "
            "it must be gymnasium.vector.AutoresetMode.SAME_STEP, NEXT_STEP or DISABLED"
        ) from None
