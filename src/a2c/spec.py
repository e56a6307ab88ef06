"""What the network must know of an environment: plain numbers, saved with every checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from a2c.distributions import Categorical, DiagonalGaussian, Distribution
from a2c.errors import CheckpointError, ConfigError


@dataclass(frozen=True, slots=True)
class Spec:
    """Shapes and bounds of one environment's observations and actions."""

    obs_shape: tuple[int, ...]
    obs_dtype: str  # uint8 for images, float32 for vectors
    actions: int  # number of discrete actions, or dimensions of a continuous one
    discrete: bool
    start: int = 0  # the first discrete action
    low: tuple[float, ...] = ()  # bounds of a continuous action
    high: tuple[float, ...] = ()

    @property
    def image(self) -> bool:
        return len(self.obs_shape) == 3

    @property
    def distribution(self) -> Distribution:
        return Categorical(self.actions) if self.discrete else DiagonalGaussian(self.actions)

    def at_door(self, action: np.ndarray) -> np.ndarray:
        """Actions as the environment takes them: offset by ``start``, or clipped to the bounds."""
        if self.discrete:
            return action + self.start
        clipped: np.ndarray = np.clip(action, np.asarray(self.low, np.float32), np.asarray(self.high, np.float32))
        return clipped

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Spec:
        fields: dict[str, Any] = {key: tuple(value) if type(value) is list else value for key, value in data.items()}
        return cls(**fields)

    def check_same(self, saved: Spec, path: str) -> None:
        """Raise :class:`CheckpointError` that lists every difference from a checkpoint's spec."""
        ours, theirs = asdict(self), asdict(saved)
        off = [f"{key} is {ours[key]}, was {theirs[key]}" for key in ours if ours[key] != theirs[key]]
        if off:
            raise CheckpointError(f"{path} belongs to another environment: {'; '.join(off)}")


def spec_of(observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> Spec:
    """Spec of an environment's spaces.

    Raises:
        ConfigError: a space that is not supported.
    """
    if not isinstance(observation_space, gym.spaces.Box):
        raise ConfigError(f"observation space {observation_space} is not supported; Box vectors and images are")
    shape = tuple(int(size) for size in observation_space.shape)
    dtype = "uint8" if observation_space.dtype == np.uint8 else "float32"
    if isinstance(action_space, gym.spaces.Discrete):
        return Spec(shape, dtype, int(action_space.n), discrete=True, start=int(action_space.start))
    if isinstance(action_space, gym.spaces.Box) and len(action_space.shape) == 1:
        low, high = (tuple(float(x) for x in bound) for bound in (action_space.low, action_space.high))
        return Spec(shape, dtype, int(action_space.shape[0]), discrete=False, low=low, high=high)
    raise ConfigError(f"action space {action_space} is not supported; Discrete and one-dimensional Box are")
