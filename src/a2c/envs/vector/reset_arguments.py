"""Check the arguments of ``reset`` as Gymnasium does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def take_mask(options: dict[str, Any] | None, num_envs: int) -> tuple[NDArray[np.bool_] | None, dict[str, Any] | None]:
    """Split ``options`` into ``reset_mask`` (bool ``[N]``, or None) and the rest; the caller's dictionary stays whole.

    Raises:
        TypeError, ValueError: as in Gymnasium, for a mask that does not fit.
    """
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
    """One seed per environment: ``seed + i`` from an integer, or the given list.

    Raises:
        ValueError: as in Gymnasium, for a list of another length.
    """
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
