"""Copies of rollouts, whose own memory the next rollout overwrites."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from a2c.learning.graphed_update import tensors_of
from a2c.maths.trees import leaves, tree_map
from a2c.rollout import Rollout


class KeptRollout:
    """Memory on the device for a rollout that is worth keeping, which shows only there.

    All but the observations lie in one vector of bytes: a kernel for each tensor would cost more than the copy.

    Args:
        like: its shapes; all rollouts that :meth:`keep` gets have them.
    """

    def __init__(self, like: Rollout) -> None:
        self._memory = copied(like, torch.zeros_like)
        self._obs = leaves(self._memory.obs)
        self._rest = _bytes_of(like)

    @property
    def tensors(self) -> list[Tensor]:
        """What :meth:`keep` changes."""
        return [*self._obs, self._rest]

    def keep(self, rollout: Rollout, when: Tensor) -> None:
        """Copy a rollout where the bool scalar ``when`` is True; nothing waits for the device."""
        for kept, part in zip(self._obs, leaves(rollout.obs), strict=True):
            torch.where(when, part, kept, out=kept)
        torch.where(when, _bytes_of(rollout), self._rest, out=self._rest)

    def rollout(self) -> Rollout:
        """The last one that was kept."""
        parts = tensors_of(self._memory)[len(self._obs) :]
        sizes = [part.numel() * part.element_size() for part in parts]
        for part, piece in zip(parts, torch.split(self._rest, sizes), strict=True):
            part.view(-1).view(torch.uint8).copy_(piece)
        weight = self._memory.weight
        if weight is not None:
            self._memory.transitions = int(torch.count_nonzero(weight))
        return self._memory


def _bytes_of(rollout: Rollout) -> Tensor:
    """All but its observations, in one vector."""
    rest = tensors_of(rollout)[len(leaves(rollout.obs)) :]
    return torch.cat([part.reshape(-1).view(torch.uint8) for part in rest])


def plain_rollout(rollout: Rollout) -> dict[str, Any]:
    """Its parts by name, for a dump: each tensor on the CPU, on its own."""
    parts = copied(rollout, lambda part: part.detach().to("cpu", copy=True))
    return {field.name: getattr(parts, field.name) for field in dataclasses.fields(Rollout)}


def copied(rollout: Rollout, copy: Callable[[Tensor], Tensor]) -> Rollout:
    """A rollout of what ``copy`` makes of each tensor."""
    kept: dict[str, Any] = {field.name: getattr(rollout, field.name) for field in dataclasses.fields(Rollout)}
    for name, part in kept.items():
        if name != "transitions" and part is not None:
            kept[name] = tree_map(copy, part)
    return Rollout(**kept)
