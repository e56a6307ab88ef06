"""Which Boxes are images, and how they become ``[C, H, W]``, which is how convolutions read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import DTypeLike, NDArray

from a2c.machine.processes.failure_report import ContractError

LARGE = 36  # pixels a side, from which NatureCNN takes images; the bytes of smaller ones are often symbols of a grid


@dataclass(frozen=True, slots=True)
class Reading:
    """How images are read.

    Attributes:
        channels: where the colours are: ``first``, ``last``, or ``auto``, by the shape.
        symbols: how many symbols each channel of a small image of bytes may hold; empty: they hold brightness.
    """

    channels: str = "auto"
    symbols: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """How images ``[H, W]``, ``[H, W, C]``, ``[C, H, W]``, or a stack of the latter two, become ``[C, H, W]``.

    Attributes:
        shape: of an image of the space.
        last: whether colours are the last axis of an image that has them.
        divisor: of floats, whose greatest value becomes 1; bytes stay as they are.
        dtype: of the converted images, uint8 or float32.
    """

    shape: tuple[int, ...]
    last: bool
    divisor: float
    dtype: DTypeLike

    @property
    def converted_shape(self) -> tuple[int, int, int]:
        """``(C, H, W)``; the images of a stack count as colours."""
        if len(self.shape) == 2:
            return (1, *self.shape)
        *_, first, second, third = self.shape
        channels, height, width = (third, first, second) if self.last else (first, second, third)
        return (channels * (self.shape[0] if len(self.shape) == 4 else 1), height, width)

    @property
    def small_bytes(self) -> bool:
        """Whether the bytes of these images may be symbols of a grid."""
        return self.dtype == np.uint8 and min(self.converted_shape[1:]) < LARGE

    def convert(self, image: Any) -> NDArray[Any]:
        """One image of the space.

        Raises:
            ContractError: it has another shape.
        """
        values = np.asarray(image)
        if values.shape != self.shape:
            raise ContractError(f"returned an observation of shape {values.shape}, but its space has {self.shape},")
        if self.last:
            values = np.moveaxis(values, -1, -3)
        values = values.reshape(self.converted_shape)
        if self.divisor != 1:
            values = values / self.divisor
        return np.ascontiguousarray(values, self.dtype)


def symbols_of_cells(layout: ImageLayout, reading: Reading) -> NDArray[np.int64] | None:
    """How many symbols there may be at each place of an image, in the shape that the space has.

    The numbers of a cell are its last axis where that is as long as ``reading.symbols``, unless ``reading.channels``
    says otherwise: sides of three cells leave a layout that goes by the shape alone in doubt.

    Returns:
        None where images are not read as symbols: there are none, images hold floats or are large, or their cells have
        another count of numbers.
    """
    shape, count = layout.shape, len(reading.symbols)
    if not count or not layout.small_bytes:
        return None
    if len(shape) == 2:
        return np.full(shape, reading.symbols[0], np.int64) if count == 1 else None
    for name, axis in (("last", len(shape) - 1), ("first", len(shape) - 3)):
        if reading.channels in ("auto", name) and shape[axis] == count:
            spread = [count if place == axis else 1 for place in range(len(shape))]
            return np.broadcast_to(np.asarray(reading.symbols, np.int64).reshape(spread), shape)
    return None


def layout_of(space: Box, channels: str) -> ImageLayout | None:
    """How the images of a space are laid out; None: it holds no images, but numbers.

    Images are bytes, or floats from 0 to 1 or to 255, of two to four axes; floats have at least three.

    Args:
        space: of observations or of a part of them.
        channels: ``first``, ``last``, or ``auto``: by what the shape suggests.
    """
    shape = space.shape
    bytes_in = space.dtype == np.uint8
    floats = np.issubdtype(space.dtype, np.floating) and len(shape) > 2
    if len(shape) not in (2, 3, 4) or min(shape[-3:]) == 0 or not (bytes_in or floats):
        return None
    high = float(space.high.max())
    if floats and (space.low.min() < 0 or high not in (1, 255)):
        return None
    last = len(shape) > 2 and (channels == "last" or (channels == "auto" and _channels_last(*shape[-3:])))
    return ImageLayout(shape, last, 1 if bytes_in else high, np.uint8 if bytes_in else np.float32)


def _channels_last(first: int, second: int, last: int) -> bool:
    """Whether an image of this shape is ``[H, W, C]``: by which two sides are alike, else by which end is shorter."""
    if (first == second) != (second == last):
        return first == second
    return last < first
