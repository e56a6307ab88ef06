"""Masks of legal actions: where an environment tells them, and how they reach the policy.

A mask travels as the last columns of the observation vector, so that acting, learning, evaluation, shared memory and
checkpoints need to know nothing of it; the network takes it off again and never sees it as a feature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Space
from numpy.typing import NDArray

from a2c.envs.converting.actions import PackedActions, choices_of
from a2c.envs.foreign import named_failure, users_own
from a2c.machine.processes.failure_report import ContractError

KEY, METHOD = "action_mask", "action_masks"  # in infos or Dict observations; of the environment
AUTO, INFO, OFF = "auto", "info", "off"  # values of env.masks
Env = gym.Env[Any, Any]


class MaskedBox(Box):
    """Vectors whose last columns are a mask of legal actions.

    Attributes:
        mask: number of those columns.
        converted: the space of the vectors without them.
    """

    def __init__(self, converted: Box, mask: int) -> None:
        low, high = np.zeros(mask, np.float32), np.ones(mask, np.float32)
        super().__init__(np.append(converted.low, low), np.append(converted.high, high), dtype=np.float32)
        self.converted, self.mask = converted, mask


def choices(space: Space[Any]) -> tuple[int, ...]:
    """The numbers of choices of all discrete parts of a converted action space, in order."""
    if isinstance(space, Discrete):
        return (int(space.n),)
    return choices_of(space.parts) if isinstance(space, PackedActions) else ()


class WithoutMask(gym.ObservationWrapper[Any, Any, Any]):
    """Takes the mask out of a Dict observation, and keeps it as ``latest_mask``."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, Dict)
        rest = {key: part for key, part in env.observation_space.spaces.items() if key != KEY}
        self.observation_space = Dict(rest)
        self.latest_mask: Any = None

    def observation(self, observation: Any) -> Any:
        self.latest_mask = observation[KEY]
        return {key: part for key, part in observation.items() if key != KEY}


class Masked(gym.Wrapper[Any, Any, Any, Any]):
    """Adds the mask of legal actions to the vectors of an environment.

    Args:
        env: it gives float32 vectors, and takes converted actions.
        read: gives the mask, as the environment tells it, of the latest observation and its info.
    """

    def __init__(self, env: Env, read: Callable[[dict[str, Any]], Any]) -> None:
        super().__init__(env)
        self._read, self._choices = read, choices(env.action_space)
        assert isinstance(env.observation_space, Box)
        self.observation_space = MaskedBox(env.observation_space, sum(self._choices))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        # An environment may take neither.
        plain = seed is None and options is None
        obs, info = self.env.reset() if plain else self.env.reset(seed=seed, options=options)
        return self._joined(obs, info, False), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._joined(obs, info, terminated or truncated), reward, terminated, truncated, info

    def _joined(self, obs: Any, info: dict[str, Any], over: bool) -> NDArray[np.float32]:
        joined: NDArray[np.float32] = np.append(obs, mask_row(self._read(info), self._choices, over))
        return joined


def mask_row(mask: Any, sizes: tuple[int, ...], over: bool = False) -> NDArray[np.float32]:
    """A mask as one row of zeros and ones, part after part.

    Args:
        mask: an array of all choices, or a tuple, list or dict of one for each part; None: all are legal.
        sizes: numbers of choices of the parts.
        over: the episode has ended: nobody acts on it, and an environment may tell that nothing is legal.

    Raises:
        ContractError: it has another size, or leaves a part without a legal choice.
    """
    total = sum(sizes)
    row: NDArray[np.float32] = np.ones(total, np.float32) if mask is None else _flat(mask)
    if len(row) != total:
        raise ContractError(f"gave an action mask of {len(row)} numbers for {total} choices,")
    row = np.asarray(row != 0, np.float32)
    begin = 0
    for size in sizes:
        part = row[begin : begin + size]
        begin += size
        if not part.any():
            if not over:
                raise ContractError("gave an action mask with no legal action,")
            part[:] = 1
    return row


def _flat(mask: Any) -> NDArray[np.float32]:
    if isinstance(mask, dict):
        mask = tuple(mask.values())
    if isinstance(mask, tuple | list) and mask and np.ndim(mask[0]):
        mask = np.concatenate([_flat(part) for part in mask])
    row: NDArray[np.float32] = np.asarray(mask, np.float32).reshape(-1)
    return row


def finds_mask(env: Env, masks: str) -> Callable[[dict[str, Any]], Any] | None:
    """How to read the mask of an environment, if it has one that can be used.

    Args:
        env: with converted actions, a :class:`WithoutMask` among its wrappers where its observations held one.
        masks: the setting ``env.masks``.
    """
    if masks == OFF or not choices(env.action_space):
        return None
    inner: Env = env
    while isinstance(inner, gym.Wrapper):
        if isinstance(inner, WithoutMask):
            held = inner
            return lambda info: held.latest_mask
        inner = inner.env
    if env.has_wrapper_attr(METHOD) and callable(method := env.get_wrapper_attr(METHOD)):
        return lambda info: method()
    return (lambda info: info.get(KEY)) if masks == INFO else None


def offers_mask(env: Env, seed: int) -> bool:
    """Whether a converted environment offers in its infos a mask that can be used; this resets it.

    Raises:
        EnvironmentFailure: the reset raised.
    """
    if finds_mask(env, INFO) is None or isinstance(env.observation_space, MaskedBox):
        return False
    try:
        _, info = env.reset(seed=seed)
    except BaseException as error:
        if users_own(error):
            raise
        raise named_failure(error, "the environment", "reset") from None
    return isinstance(info, dict) and KEY in info


def made_legal(env: Env, action: Any, obs: Any) -> Any:
    """An action drawn at random, or where the mask behind an observation forbids it, one that it allows.

    Args:
        env: converted; where it has no mask, every action is legal.
        action: of its action space.
        obs: the latest that it gave.
    """
    space = env.observation_space
    if not isinstance(space, MaskedBox):
        return action
    start = int(env.action_space.start) if isinstance(env.action_space, Discrete) else 0
    row = np.array(action).reshape(-1)
    mask = np.asarray(obs)[-space.mask :]
    begin = 0
    columns = env.action_space.discrete if isinstance(env.action_space, PackedActions) else [0]
    for column, size in zip(columns, choices(env.action_space), strict=True):
        legal = np.flatnonzero(mask[begin : begin + size])
        begin += size
        if (drawn := int(row[column]) - start) not in legal:
            row[column] = start + legal[drawn % len(legal)]
    return row[0] if isinstance(env.action_space, Discrete) else row
