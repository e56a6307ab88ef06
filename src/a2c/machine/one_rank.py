"""What sums and gathers tensors, and shares things out: several ranks, or a single process."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Summing(Protocol):
    """What sums and gathers tensors, and shares things out: several ranks, or a single process."""

    stopping: bool

    @property
    def size(self) -> int: ...
    @property
    def leads(self) -> bool: ...
    @property
    def wants_to_stop(self) -> bool: ...
    def rows(self, count: int) -> range: ...
    def add(self, tensor: Tensor) -> None: ...
    def gather(self, tensor: Tensor) -> Tensor: ...


class One:
    """A single process, as the only rank."""

    size, leads, wants_to_stop = 1, True, False

    def __init__(self) -> None:
        self.stopping = False

    def rows(self, count: int) -> range:
        return range(count)

    def add(self, tensor: Tensor) -> None:
        pass

    def gather(self, tensor: Tensor) -> Tensor:
        return tensor.unsqueeze(0)


def rows_of(rank: int, size: int, count: int) -> range:
    """Of ``count`` things in order, those of a rank of ``size``."""
    return range(rank * count // size, (rank + 1) * count // size)
