"""Actions of any known space as one row of numbers, which is what a policy draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple
from numpy.typing import NDArray

from a2c.errors import ConfigError

DISCRETE, BINARY, CONTINUOUS = "discrete", "binary", "continuous"
Part = tuple[
    str, tuple[int, ...]
]  # its kind; the numbers of choices of its discrete columns, else its count of columns


def columns_of(part: Part) -> int:
    """How many numbers of a row stand for a part."""
    kind, sizes = part
    return len(sizes) if kind == DISCRETE else sizes[0]


def choices_of(parts: tuple[Part, ...]) -> tuple[int, ...]:
    """The numbers of choices of all discrete parts, in order."""
    return tuple(size for kind, sizes in parts if kind == DISCRETE for size in sizes)


class PackedActions(Box):
    """Rows of numbers that stand for actions of several parts, or of a shape of their own.

    Discrete columns count from 0, binary ones are 0 or 1. The dtype is int64, or float32 as soon as a column is
    continuous: it holds every whole number up to 2^24.

    Attributes:
        original: the space of the actions.
        parts: of the row, in order.
    """

    def __init__(self, low: NDArray[Any], high: NDArray[Any], original: Space[Any], parts: tuple[Part, ...]) -> None:
        whole = all(kind != CONTINUOUS for kind, _ in parts)
        dtype = np.int64 if whole else np.float32
        with np.errstate(over="ignore"):  # a bound of float64 may be infinite in float32
            low, high = low.astype(dtype), high.astype(dtype)
        super().__init__(low, high, dtype=dtype)
        self.original, self.parts = original, parts

    @property
    def continuous(self) -> list[int]:
        """The columns that are."""
        return [column for column, kind in enumerate(self._kinds()) if kind == CONTINUOUS]

    @property
    def discrete(self) -> list[int]:
        """The columns that are."""
        return [column for column, kind in enumerate(self._kinds()) if kind == DISCRETE]

    def _kinds(self) -> list[str]:
        return [part[0] for part in self.parts for _ in range(columns_of(part))]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One part of an action that is no Dict and no Tuple."""

    kind: str
    sizes: tuple[int, ...]
    low: NDArray[Any]  # [columns]
    high: NDArray[Any]
    unpack: Callable[[NDArray[Any]], Any]


class Unpacker:
    """Turns rows of numbers into actions of the space's own structure, shapes, dtypes and bounds.

    Args:
        space: of the actions; Dict and Tuple spaces may be nested.

    Attributes:
        space: of the rows.

    Raises:
        ConfigError: a part of it is of no kind that a policy can draw.
    """

    def __init__(self, space: Space[Any]) -> None:
        leaves = list(_leaves(space))
        low, high = (np.concatenate([getattr(leaf, bound) for leaf in leaves]) for bound in ("low", "high"))
        self.space = PackedActions(low, high, space, tuple((leaf.kind, leaf.sizes) for leaf in leaves))
        ends = np.cumsum([len(leaf.low) for leaf in leaves])
        self._leaves = [
            (leaf, slice(end - len(leaf.low), end)) for leaf, end in zip(leaves, ends.tolist(), strict=True)
        ]

    def __call__(self, row: NDArray[Any]) -> Any:
        """The action that a row ``[D]`` stands for."""
        parts = iter([leaf.unpack(row[place]) for leaf, place in self._leaves])
        return _structured(self.space.original, parts)


def _leaves(space: Space[Any]) -> Iterator[Leaf]:
    if isinstance(space, Dict | Tuple):
        for part in space.spaces.values() if isinstance(space, Dict) else space.spaces:
            yield from _leaves(part)
    elif isinstance(space, Discrete):
        yield _discrete(np.array([space.n]), lambda row: space.dtype.type(row[0] + space.start))
    elif isinstance(space, MultiDiscrete):
        yield _discrete(
            space.nvec.reshape(-1), lambda row: (row.reshape(space.nvec.shape) + space.start).astype(space.dtype)
        )
    elif isinstance(space, MultiBinary):
        count = int(np.prod(space.shape))
        zeros, ones = np.zeros(count, np.int64), np.ones(count, np.int64)
        yield Leaf(BINARY, (count,), zeros, ones, lambda row: row.reshape(space.shape).astype(space.dtype))
    elif isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
        low, high = (bound.reshape(-1) for bound in (space.low, space.high))

        def unpack(row: NDArray[Any]) -> NDArray[Any]:
            # Bounds in the space's own dtype: a float32 bound may lie beyond a float64 one.
            clipped: NDArray[Any] = np.clip(row.reshape(space.shape).astype(space.dtype), space.low, space.high)
            return clipped

        yield Leaf(CONTINUOUS, (len(low),), low, high, unpack)
    else:
        raise ConfigError(
            f"action space {space} is not supported; supported: Discrete, MultiDiscrete, MultiBinary, Box of floats, "
            "and Dict and Tuple of them"
        )


def _discrete(sizes: NDArray[Any], unpack: Callable[[NDArray[Any]], Any]) -> Leaf:
    def whole(row: NDArray[Any]) -> Any:
        return unpack(row.astype(np.int64))

    return Leaf(DISCRETE, tuple(sizes.tolist()), np.zeros(len(sizes), np.int64), sizes.astype(np.int64) - 1, whole)


def _structured(space: Space[Any], parts: Iterator[Any]) -> Any:
    if isinstance(space, Dict):
        return {key: _structured(part, parts) for key, part in space.spaces.items()}
    if isinstance(space, Tuple):
        return tuple(_structured(part, parts) for part in space.spaces)
    return next(parts)
