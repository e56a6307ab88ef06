"""A replay memory, which parallel environments are said to replace."""

from __future__ import annotations

from collections.abc import Callable

import torch

from a2c.rollout import Rollout, columns
from a2c.study.batches import joined, one_step


class Memory:
    """The latest transitions; it draws from them uniformly, with replacement.

    Nothing corrects for their age: an actor-critic that learns from them takes actions of older policies for its own.

    Args:
        capacity: transitions to keep.
        seed: of the draws.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        self._capacity, self._random = capacity, torch.Generator().manual_seed(seed)
        self._kept: Rollout | None = None

    def add(self, rollout: Rollout) -> None:
        """Keep the transitions of a rollout, and forget the oldest."""
        new = one_step(rollout)
        kept = joined(new) if self._kept is None else joined(self._kept, new)  # a collector overwrites its memory
        self._kept = columns(kept, slice(-self._capacity, None))

    def sample(self, count: int) -> Rollout:
        """Draw ``[1, count]`` transitions."""
        assert self._kept is not None
        here = self._kept.rewards.shape[1]
        return columns(self._kept, torch.randint(here, (count,), generator=self._random))


def replaying(memory: Memory, rows: int) -> Callable[[Rollout], Rollout]:
    """For :func:`a2c.trainer.training`: keep every rollout in ``memory`` and learn from ``rows`` transitions of it."""

    def learned_from(rollout: Rollout) -> Rollout:
        memory.add(rollout)
        return memory.sample(rows)

    return learned_from
