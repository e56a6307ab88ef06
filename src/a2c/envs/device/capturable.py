"""What a vector environment on the device needs so that a whole rollout can be one CUDA graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeGuard

from torch import Tensor

NEEDS = ("changing", "draw", "begin")


class Capturable(Protocol):
    """An environment whose steps a CUDA graph can repeat, though no Python runs then.

    So a step asks nothing of the host: what it changes, it changes in place, in tensors that never move; and the random
    numbers of a rollout's steps lie in memory that is filled before it.
    """

    @property
    def changing(self) -> Sequence[Tensor]:
        """Every tensor that a step changes."""

    def draw(self, steps: int) -> None:
        """Fill the memory of random numbers for the next ``steps`` steps; called before every rollout, outside graphs.

        The memory stays where it is as long as ``steps`` stays the same.
        """

    def begin(self) -> None:
        """The next step is the first of those that :meth:`draw` was for; called by what is captured."""


def capturable(envs: Any) -> TypeGuard[Capturable]:
    """Whether a vector environment says that its steps can be captured.

    Its own class says so: a wrapper passes on what it wraps and a subclass inherits, and either may do in Python what a
    graph would leave out.
    """
    return all(name in vars(type(envs)) for name in NEEDS)
