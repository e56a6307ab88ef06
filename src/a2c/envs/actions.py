"""The door through which the policy's actions reach the environments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from numpy.typing import NDArray

from a2c.errors import ConfigError


def action_door(space: Space[Any]) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
    """What turns the policy's actions into the environment's: a Discrete's start added, a Box's bounds kept.

    None where they are the same.
    """
    if isinstance(space, Discrete):
        start = int(space.start)
        return (lambda actions: actions + start) if start else None
    if isinstance(space, Box):
        low, high, dtype = space.low, space.high, space.dtype
        return lambda actions: np.minimum(np.maximum(actions, low), high).astype(dtype, copy=False)
    raise ConfigError(f"action space {space} is not supported; supported: Discrete and Box")
