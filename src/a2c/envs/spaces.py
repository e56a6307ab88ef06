"""An environment's spaces as plain numbers, saved with every checkpoint, and the one door for actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from numpy.typing import ArrayLike, DTypeLike, NDArray

from a2c.errors import CheckpointError, ConfigError

if TYPE_CHECKING:  # worker processes load no torch
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class ObsPart:
    """One leaf of an observation."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Spaces:
    """Shapes and bounds of one environment's observations and actions."""

    obs_shape: tuple[int, ...]
    obs_dtype: str  # uint8 for images, float32 for vectors
    actions: int  # number of discrete actions, or dimensions of a continuous one
    discrete: bool
    start: int = 0  # the first discrete action
    low: tuple[float, ...] = ()  # bounds of a continuous action
    high: tuple[float, ...] = ()
    action_dtype: str | None = field(default=None, compare=False)  # None: of a version that did not keep it

    @property
    def obs(self) -> ObsPart:
        """The observation as a tree of its parts: one, so far."""
        return ObsPart(self.obs_shape, self.obs_dtype)

    @property
    def image(self) -> bool:
        """Whether observations are images."""
        return len(self.obs_shape) == 3

    @property
    def door(self) -> ActionDoor:
        """Turns the policy's actions into the environment's."""
        if self.discrete:
            return ActionDoor(self.action_dtype or np.int64, self.start)
        return ActionDoor(self.action_dtype or np.float32, bounds=(self.low, self.high))

    def facts(self) -> dict[str, str]:
        """Their lines in the start panel."""
        return {
            "observations": f"{list(self.obs_shape)} {self.obs_dtype}",
            "actions": f"{self.actions} {'discrete' if self.discrete else 'continuous'}",
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Spaces:
        """The spaces that :meth:`to_dict` gave; lists become tuples."""
        fields: dict[str, Any] = {key: tuple(value) if type(value) is list else value for key, value in data.items()}
        return cls(**fields)

    def check_same(self, saved: Spaces, path: str) -> None:
        """Raise a :class:`CheckpointError` with every difference from ``saved``, the spaces of checkpoint ``path``."""
        ours, theirs = asdict(self), asdict(saved)
        if theirs["action_dtype"] is None:
            del ours["action_dtype"]
        off = [f"{key} is {ours[key]}, was {theirs[key]}" for key in ours if ours[key] != theirs[key]]
        if off:
            raise CheckpointError(f"{path} belongs to another environment: {'; '.join(off)}")


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


def spaces_of(observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> Spaces:
    """An environment's spaces as plain numbers.

    Raises:
        ConfigError: a space is not supported.
    """
    if not isinstance(observation_space, Box):
        raise ConfigError(f"observation space {observation_space} is not supported; Box vectors and images are")
    shape = tuple(int(size) for size in observation_space.shape)
    dtype = "uint8" if observation_space.dtype == np.uint8 else "float32"
    if isinstance(action_space, Discrete):
        count, start = int(action_space.n), int(action_space.start)
        return Spaces(shape, dtype, count, discrete=True, start=start, action_dtype=str(action_space.dtype))
    if isinstance(action_space, Box) and len(action_space.shape) == 1:
        low, high = (tuple(float(x) for x in bound) for bound in (action_space.low, action_space.high))
        kept = str(action_space.dtype)
        return Spaces(shape, dtype, len(low), discrete=False, low=low, high=high, action_dtype=kept)
    raise ConfigError(f"action space {action_space} is not supported; Discrete and one-dimensional Box are")


def check_spaces(observation_space: Space[Any], action_space: Space[Any]) -> None:
    """Raise a :class:`ConfigError` that lists what is supported unless both spaces of a single environment are."""
    obs, action = observation_space, action_space
    vector = isinstance(obs, Box) and len(obs.shape) == 1
    image = isinstance(obs, Box) and len(obs.shape) == 3 and obs.dtype == np.uint8
    if not (vector or image):
        raise ConfigError(
            f"observation space {_brief(obs)} is not supported; supported: Box vectors, and uint8 images "
            "[H, W, C] or [C, H, W]; gymnasium.wrappers (FlattenObservation, TransformObservation) can convert others"
        )
    if 0 in (*(obs.shape or ()), *(action.shape or ())):
        raise ConfigError(
            f"observations {_brief(obs)} and actions {_brief(action)}: one of them holds no number at all"
        )
    discrete = isinstance(action, Discrete)
    continuous = isinstance(action, Box) and len(action.shape) == 1 and np.issubdtype(action.dtype, np.floating)
    if not (discrete or continuous):
        raise ConfigError(
            f"action space {_brief(action)} is not supported; supported: Discrete, and Box of one dimension of floats"
        )


def _brief(space: Space[Any]) -> str:
    if isinstance(space, Box):  # its own text prints the bounds of every element
        return f"Box(shape={space.shape}, dtype={space.dtype})"
    return str(space)
