"""Observations of any known space as one float32 vector, in the order of Gymnasium's ``flatten_space``.

Images within it are laid out ``[C, H, W]``; a network that reads images finds them again by :attr:`FlatBox.parts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple
from numpy.typing import NDArray

from a2c.envs.converting.images import ImageLayout, Reading, layout_of, symbols_of_cells
from a2c.errors import ConfigError
from a2c.machine.processes.failure_report import ContractError

ObsPart = tuple[str, tuple[int, ...]]  # its name, and its shape: (C, H, W) of an image, else (size,)
FLOAT32 = np.dtype(np.float32)
AS_IT_SEEMS = Reading()
Fill = Callable[[Any, NDArray[np.float32]], None]  # writes one part of an observation to its place in the vector


class FlatBox(Box):
    """Vectors that observations were flattened to.

    Attributes:
        original: the space of the observations.
        parts: of the vector, in order; parts that no number stands for are none.
        reading: how images were read, as in the settings.
        symbols: of each channel of the grids in it, one-hot; empty: there are none.
    """

    def __init__(
        self,
        low: NDArray[Any],
        high: NDArray[Any],
        original: Space[Any],
        parts: tuple[ObsPart, ...],
        reading: Reading,
        symbols: tuple[int, ...],
    ) -> None:
        super().__init__(low, high, dtype=np.float32)
        self.original, self.parts, self.reading, self.symbols = original, parts, reading, symbols


@dataclass(frozen=True, slots=True)
class Leaf:
    """One part of an observation that is no Dict and no Tuple."""

    path: tuple[str | int, ...]  # keys and indices that lead to it
    shape: tuple[int, ...]
    low: NDArray[np.float32]  # [size]
    high: NDArray[np.float32]
    fill: Fill
    grid: bool = False  # of symbols


class Flattener:
    """Turns observations into vectors ``[D]``: numbers as they are, whatever is discrete one-hot.

    Args:
        space: of the observations; Dict and Tuple spaces may be nested.
        reading: how images are read.

    Attributes:
        space: of the vectors.

    Raises:
        ConfigError: there is nothing in it that numbers stand for.
    """

    def __init__(self, space: Space[Any], reading: Reading = AS_IT_SEEMS) -> None:
        leaves = list(_leaves(space, (), reading))
        if sum(len(leaf.low) for leaf in leaves) == 0:
            raise ConfigError(f"observation space {space} is not supported: no part of it is made of numbers")
        low, high = (np.concatenate([getattr(leaf, bound) for leaf in leaves]) for bound in ("low", "high"))
        parts = tuple((_name(leaf.path), leaf.shape) for leaf in leaves)
        symbols = reading.symbols if any(leaf.grid for leaf in leaves) else ()
        self.space = FlatBox(low, high, space, parts, reading, symbols)
        begin = 0
        self._fills: list[tuple[tuple[str | int, ...], slice, Fill]] = []
        for leaf in leaves:
            self._fills.append((leaf.path, slice(begin, begin := begin + len(leaf.low)), leaf.fill))
        self._size = begin
        vectors = isinstance(space, Dict) and all(
            isinstance(part, Box) and len(part.shape) == 1 and part.dtype == FLOAT32 for part in space.spaces.values()
        )
        self._vectors = [(path[0], place) for path, place, _ in self._fills] if vectors else None

    def __call__(self, obs: Any) -> NDArray[np.float32]:
        """The vector of an observation.

        Raises:
            ContractError: the observation does not fit its space.
        """
        vector = np.zeros(self._size, np.float32)
        for path, place, fill in self._fills:
            part = obs
            try:
                for key in path:
                    part = part[key]
            except (KeyError, IndexError, TypeError):
                raise ContractError(f"returned an observation without its part {_name(path)!r}") from None
            fill(part, vector[place])
        return vector

    def for_one_thread(self) -> Callable[[Any], NDArray[np.float32]]:
        """The same for one thread at a time; a Dict of float32 vectors takes a fifth of the time then."""
        if self._vectors is None:
            return self
        scratch = np.empty(self._size, FLOAT32)
        vectors, view, copied, part_by_part = self._vectors, scratch.data, scratch.copy, self

        def joined(obs: Any) -> NDArray[np.float32]:
            try:
                for key, place in vectors:
                    view[place] = obs[key]  # a memoryview takes what has this size and dtype, and nothing else
            except (KeyError, IndexError, TypeError, ValueError, BufferError):
                return part_by_part(obs)  # it shows what is wrong
            return copied()

        return joined


def _leaves(space: Space[Any], path: tuple[str | int, ...], reading: Reading) -> Iterator[Leaf]:
    """The leaves of a space that numbers stand for; Text, for example, is none."""
    if isinstance(space, Dict):
        for key, part in space.spaces.items():
            yield from _leaves(part, (*path, key), reading)
    elif isinstance(space, Tuple):
        for index, part in enumerate(space.spaces):
            yield from _leaves(part, (*path, index), reading)
    elif isinstance(space, Box):
        layout = layout_of(space, reading.channels)
        if layout is None:
            yield _box(path, space)
        else:
            counts = symbols_of_cells(layout, reading)
            yield _image(path, space, layout) if counts is None else _grid(path, counts)
    elif isinstance(space, Discrete):
        yield _unit(path, int(space.n), _one_hot(np.array([space.n]), np.array([space.start]), ()))
    elif isinstance(space, MultiDiscrete):
        sizes, start = space.nvec.reshape(-1), np.asarray(space.start).reshape(-1)
        yield _unit(path, int(sizes.sum()), _one_hot(sizes, start, space.nvec.shape))
    elif isinstance(space, MultiBinary):
        yield _unit(path, int(np.prod(space.shape)), _numbers(space.shape))


def _unit(path: tuple[str | int, ...], size: int, fill: Fill) -> Leaf:
    return Leaf(path, (size,), np.zeros(size, np.float32), np.ones(size, np.float32), fill)


def _box(path: tuple[str | int, ...], space: Box) -> Leaf:
    with np.errstate(over="ignore"):  # a bound of float64 may be infinite in float32
        low, high = (bound.reshape(-1).astype(np.float32) for bound in (space.low, space.high))
    return Leaf(path, low.shape, low, high, _numbers(space.shape))


def _grid(path: tuple[str | int, ...], counts: NDArray[np.int64]) -> Leaf:
    beyond = "beyond those of env.symbols (null: they are brightness)"
    fill = _one_hot(counts.reshape(-1), np.zeros(1, np.int64), counts.shape, beyond)
    return replace(_unit(path, int(counts.sum()), fill), grid=True)


def _image(path: tuple[str | int, ...], space: Box, layout: ImageLayout) -> Leaf:
    """Bytes of a large image are brightness, up to 255, and become [0, 1]; those of a small one may be symbols."""
    shape = layout.converted_shape
    unit = 1 / 255 if layout.dtype == np.uint8 and not layout.small_bytes else 1.0

    def fill(part: Any, out: NDArray[np.float32]) -> None:
        np.multiply(layout.convert(part).reshape(-1), unit, out=out, casting="unsafe")

    low, high = np.zeros((2, int(np.prod(shape))), np.float32)
    fill(space.low, low)
    fill(space.high, high)
    return Leaf(path, shape, low, high, fill)


def _numbers(shape: tuple[int, ...]) -> Fill:
    def fill(part: Any, out: NDArray[np.float32]) -> None:
        values = np.asarray(part)
        if values.shape != shape:
            raise ContractError(f"returned an observation with a part of shape {values.shape}; its space has {shape},")
        out[:] = values.reshape(-1)

    return fill


def _one_hot(
    sizes: NDArray[Any], start: NDArray[Any], shape: tuple[int, ...], beyond: str = "outside its space"
) -> Fill:
    before = np.cumsum(sizes) - sizes

    def fill(part: Any, out: NDArray[np.float32]) -> None:
        values = np.asarray(part)
        if values.shape != shape or values.dtype.kind not in "iub":
            raise ContractError(f"returned {part!r:.80} in an observation; its space has integers of shape {shape},")
        places = values.reshape(-1).astype(np.int64) - start
        if (off := (places < 0) | (places >= sizes)).any():
            raise ContractError(f"returned {values.reshape(-1)[off][0]} in an observation, {beyond},")
        out[before + places] = 1.0

    return fill


def _name(path: tuple[str | int, ...]) -> str:
    return ".".join(map(str, path)) or "the observation"
