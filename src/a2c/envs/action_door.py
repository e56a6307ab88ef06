"""The one door for actions: from the policy's to the environment's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from numpy.typing import ArrayLike, DTypeLike, NDArray

from a2c.errors import ConfigError

if TYPE_CHECKING:  # worker processes load no torch
    import torch
    from torch import Tensor


class ActionDoor:
    """Turns the policy's actions into the environment's: casts to its dtype, adds a Discrete's start, clips to a Box.

    Whoever steps an environment sends actions through here.

    Args:
        dtype: of the actions that the environment takes.
        start: the first discrete action.
        bounds: of a continuous action, ``[D]`` each; None: discrete.
    """

    def __init__(self, dtype: DTypeLike, start: int = 0, bounds: tuple[ArrayLike, ArrayLike] | None = None) -> None:
        self._dtype, self._start = np.dtype(dtype), start
        self._bounds = None if bounds is None else tuple(np.asarray(bound, self._dtype) for bound in bounds)

    def __call__(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Convert actions on the host.

        Args:
            actions: ``[*]`` counted from 0, or ``[*, D]`` unclipped.

        Returns:
            The same shape; ``actions`` itself where nothing has to change.
        """
        if self._bounds is None:
            if not self._start and actions.dtype is self._dtype:  # as for most environments
                return actions
            return (actions + self._start).astype(self._dtype, copy=False)
        low, high = self._bounds
        clipped: NDArray[Any] = np.minimum(np.maximum(actions, low), high)
        return clipped.astype(self._dtype, copy=False)

    def on(self, device: torch.device) -> Callable[[Tensor], Tensor]:
        """The same for tensors on ``device``, without the cast: environments there cast by themselves.

        Nothing in the function that it returns waits for the device.
        """
        import torch

        if self._bounds is None:
            start = self._start
            return lambda actions: actions + start if start else actions
        low, high = (torch.as_tensor(bound, device=device) for bound in self._bounds)
        return lambda actions: actions.clamp(low, high)


def action_door(space: Space[Any]) -> ActionDoor:
    """The :class:`ActionDoor` of an action space.

    Raises:
        ConfigError: the space is not supported.
    """
    if isinstance(space, Discrete):
        return ActionDoor(space.dtype, int(space.start))
    if isinstance(space, Box):
        return ActionDoor(space.dtype, bounds=(space.low, space.high))
    raise ConfigError(f"action space {space} is not supported; supported: Discrete and Box")
