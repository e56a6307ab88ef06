"""Checks on what an environment may return, whoever steps it."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Dict, Space, Tuple
from numpy.typing import DTypeLike, NDArray

from a2c.machine.processes.failure_report import ContractError


def real_reward(reward: Any) -> float:
    """The reward as a float; an array of one element is one number.

    Raises:
        ContractError: it is not a real number.
    """
    if isinstance(reward, np.ndarray) and reward.size == 1:
        reward = reward.item()
    if hasattr(reward, "__float__") and not isinstance(reward, (np.ndarray, np.complexfloating)):
        return float(reward)
    several = isinstance(reward, np.ndarray | list | tuple)  # of several objectives, or several agents
    hint = " (a wrapper can make one number of them)" if several else ""
    raise ContractError(f"returned the reward {reward!r:.80}, which is no real number{hint},")


def fitting_observation(obs: Any, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """The observation as an array that can be written to memory of its space's ``shape`` and ``dtype``.

    The shape must be the space's. The writer casts floats of another width (many environments compute in float64),
    integers and bools if the integer dtype of the space keeps every value, and lists of numbers. Any other change
    between floats, integers and bools is an error: it is usually a mistake, and a cast would hide it.

    Raises:
        ContractError: it does not fit.
    """
    given, dtype = np.asarray(obs), np.dtype(dtype)
    if given.shape != shape:
        raise ContractError(f"returned an observation of shape {given.shape}, but its space has {shape},")
    if given.dtype == dtype:
        return given
    listed = not isinstance(obs, (np.ndarray, np.generic))
    kinds = given.dtype.kind + dtype.kind
    if kinds == "ff" or (listed and kinds in ("if", "uf")):
        return given
    if kinds in ("ii", "iu", "ui", "uu", "bi", "bu") and bool(np.all(given.astype(dtype) == given)):
        return given
    raise ContractError(f"returned an observation of dtype {given.dtype}, but its space has {dtype},")


def not_finite(what: str, values: NDArray[Any], step: int) -> dict[str, Any]:
    """Plain data about the first of ``values`` that is not finite in float32, small enough to travel: for a dump.

    Args:
        what: like ``reward``.
        values: of one environment.
        step: of it.
    """
    with np.errstate(over="ignore"):
        index = np.argwhere(~np.isfinite(np.asarray(values).astype(np.float32)))[0]
    return {"what": what, "step": step, "index": index.tolist(), "value": float(np.asarray(values)[tuple(index)])}


def space_tree(space: Space[Any]) -> Any:
    """The leaves of a Dict or Tuple space as a tree; any other space is one leaf."""
    if isinstance(space, Dict):
        return {key: space_tree(part) for key, part in space.spaces.items()}
    if isinstance(space, Tuple):
        return tuple(space_tree(part) for part in space.spaces)
    return space
