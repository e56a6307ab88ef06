"""An environment's spaces as plain numbers, saved with every checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, Space

from a2c.envs.action_door import ActionDoor
from a2c.envs.converting.actions import CONTINUOUS, DISCRETE, PackedActions, Part, choices_of
from a2c.envs.converting.masks import MaskedBox
from a2c.envs.converting.observations import FlatBox, ObsPart
from a2c.envs.converting.plain_spaces import left_out, to_plain
from a2c.errors import CheckpointError, ConfigError


@dataclass(frozen=True, slots=True)
class ObsLeaf:
    """One leaf of an observation."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Spaces:
    """Shapes and bounds of one environment's observations and actions, as a network sees them.

    Attributes:
        obs_shape: of one observation: ``(D,)``, or an image's ``(C, H, W)``.
        obs_dtype: ``uint8`` for images, ``float32`` for vectors.
        actions, discrete: how many discrete actions there are; or how many dimensions a continuous one has.
        start, low, high: the first discrete action; the bounds of a continuous one, a number for each dimension.
        parts: kind and sizes of each part of an action that has several.
        obs_parts: name and shape of each part of an observation that had several, in their order in the vector.
        mask: how many columns of the observation, the last, are a mask of legal actions; your own network sees none.
    """

    obs_shape: tuple[int, ...]
    obs_dtype: str  # uint8 for images, float32 for vectors
    actions: int  # number of discrete actions, or dimensions of a continuous one
    discrete: bool
    start: int = 0  # the first discrete action
    low: tuple[float, ...] = ()  # bounds of a continuous action
    high: tuple[float, ...] = ()
    action_dtype: str | None = field(default=None, compare=False)  # None: of a version that did not keep it
    parts: tuple[Part, ...] = ()  # of packed actions
    obs_original: dict[str, Any] | None = None  # the space that observations were flattened from, as plain data
    action_original: dict[str, Any] | None = None  # likewise of packed actions
    obs_parts: tuple[ObsPart, ...] = ()  # of flattened observations
    obs_channels: str = "auto"  # where the colours of images in them were looked for
    obs_symbols: tuple[int, ...] = ()  # of each channel of grids in them, which are one-hot
    mask: int = 0  # how many columns of the observation vector, the last, are a mask of legal actions

    @property
    def obs(self) -> ObsLeaf:
        """The observation as a tree: one leaf, so far."""
        return ObsLeaf(self.obs_shape, self.obs_dtype)

    @property
    def image(self) -> bool:
        """Whether observations are images."""
        return len(self.obs_shape) == 3

    @property
    def images_within(self) -> bool:
        """Whether observations are vectors that hold images."""
        return any(len(shape) == 3 for _, shape in self.obs_parts)

    @property
    def whole(self) -> bool:
        """Whether actions are made of whole numbers alone."""
        return self.discrete or (bool(self.parts) and all(kind != CONTINUOUS for kind, _ in self.parts))

    @property
    def choices(self) -> tuple[int, ...]:
        """The numbers of choices of all discrete parts of an action, in order."""
        if not self.parts:
            return (self.actions,) if self.discrete else ()
        return choices_of(self.parts)

    @property
    def door(self) -> ActionDoor:
        """Turns the policy's actions into the environment's."""
        if self.discrete:
            return ActionDoor(self.action_dtype or np.int64, self.start)
        return ActionDoor(self.action_dtype or np.float32, bounds=(self.low, self.high))

    def facts(self) -> dict[str, str]:
        """Their lines in the start panel."""
        shape = [self.obs_shape[0] - self.mask] if self.mask else list(self.obs_shape)
        parts = ", ".join(f"{name} {list(part)}" for name, part in self.obs_parts) if self.images_within else ""
        return {
            "observations": (parts or f"{shape} {self.obs_dtype}")
            + (f", cells of {' x '.join(map(str, self.obs_symbols))} symbols one-hot" if self.obs_symbols else "")
            + (", and a mask of legal actions" if self.mask else "")
            + (f", without {', '.join(unread)}" if (unread := left_out(self.obs_original or {})) else ""),
            "actions": self._told_actions(),
        }

    def _told_actions(self) -> str:
        if not self.parts:
            return f"{self.actions} {'discrete' if self.discrete else 'continuous'}"
        return ", ".join(
            f"discrete of {' x '.join(map(str, sizes))}" if kind == DISCRETE else f"{sizes[0]} {kind}"
            for kind, sizes in self.parts
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Spaces:
        """The spaces that :meth:`to_dict` gave; lists become tuples."""
        fields: dict[str, Any] = {key: tuple(value) if type(value) is list else value for key, value in data.items()}
        for key in ("parts", "obs_parts"):
            fields[key] = tuple((name, tuple(sizes)) for name, sizes in fields.get(key, ()))
        return cls(**fields)

    def check_same(self, saved: Spaces, path: str) -> None:
        """Raise a :class:`CheckpointError` with every difference from ``saved``, the spaces of checkpoint ``path``."""
        ours, theirs = asdict(self), asdict(saved)
        if theirs["action_dtype"] is None:
            del ours["action_dtype"]
        off = [f"{key} is {ours[key]}, was {theirs[key]}" for key in ours if ours[key] != theirs[key]]
        if off:
            raise CheckpointError(f"{path} belongs to another environment: {'; '.join(off)}")


def spaces_of(observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> Spaces:
    """An environment's spaces as plain numbers.

    Raises:
        ConfigError: a space is not supported.
    """
    if not isinstance(observation_space, Box):
        raise ConfigError(f"observation space {observation_space} is not supported; Box vectors and images are")
    shape = tuple(int(size) for size in observation_space.shape)
    dtype = "uint8" if observation_space.dtype == np.uint8 else "float32"
    mask = 0
    if isinstance(observation_space, MaskedBox):
        mask, observation_space = observation_space.mask, observation_space.converted
    kept: dict[str, Any] = {
        "mask": mask,
        "action_dtype": str(action_space.dtype),
        "obs_original": _original(observation_space, FlatBox),
    }
    if isinstance(observation_space, FlatBox):
        kept |= {
            "obs_parts": observation_space.parts,
            "obs_channels": observation_space.reading.channels,
            "obs_symbols": observation_space.symbols,
        }
    if isinstance(action_space, Discrete):
        count, start = int(action_space.n), int(action_space.start)
        return Spaces(shape, dtype, count, discrete=True, start=start, **kept)
    if isinstance(action_space, Box) and len(action_space.shape) == 1:
        low, high = (tuple(float(x) for x in bound) for bound in (action_space.low, action_space.high))
        if isinstance(action_space, PackedActions):
            kept |= {"parts": action_space.parts, "action_original": _original(action_space, PackedActions)}
        return Spaces(shape, dtype, len(low), discrete=False, low=low, high=high, **kept)
    raise ConfigError(f"action space {action_space} is not supported; Discrete and one-dimensional Box are")


def _original(converted: Space[Any], kind: type) -> dict[str, Any] | None:
    """The space that was converted, as plain data; None where it was not."""
    return to_plain(converted.original) if isinstance(converted, kind) else None  # type: ignore[attr-defined]


def check_spaces(observation_space: Space[Any], action_space: Space[Any]) -> None:
    """Raise a :class:`ConfigError` unless both spaces of a single environment are of those that training takes.

    Those of :func:`a2c.envs.single.make_env.make_env` are; an id's own vector environment may have others.
    """
    obs, action = observation_space, action_space
    vector = isinstance(obs, Box) and len(obs.shape) == 1
    image = isinstance(obs, Box) and len(obs.shape) == 3
    if not (vector or image):
        raise ConfigError(
            f"observation space {_brief(obs)} is not supported by this vectorization; vectorization=workers takes any"
        )
    if 0 in (*(obs.shape or ()), *(action.shape or ())):
        raise ConfigError(
            f"observations {_brief(obs)} and actions {_brief(action)}: one of them holds no number at all"
        )
    discrete = isinstance(action, Discrete)
    continuous = isinstance(action, Box) and len(action.shape) == 1 and np.issubdtype(action.dtype, np.floating)
    if not (discrete or continuous or isinstance(action, PackedActions)):
        raise ConfigError(
            f"action space {_brief(action)} is not supported by this vectorization; vectorization=workers takes "
            "Discrete, MultiDiscrete, MultiBinary, Box of floats, and Dict and Tuple of them"
        )


def _brief(space: Space[Any]) -> str:
    if isinstance(space, Box):  # its own text prints the bounds of every element
        return f"Box(shape={space.shape}, dtype={space.dtype})"
    return str(space)
