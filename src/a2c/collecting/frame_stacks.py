"""Stacks of frames, built in the rollout's memory from the newest frames alone.

    stack[t] = frames 1 .. k-1 of stack[t-1], then the newest frame

An episode begins without frames before its first; :class:`a2c.envs.frames.Frames` says what stands there instead. Each
class writes row t from row t-1 and from what has come for t, so that doing so again changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a2c.envs.frames import Frames
from a2c.maths.trees import Tree, single


class HostStacks:
    """Stacks in the memory of the host, where the device is the host.

    Args:
        memory: ``[T+1, n, k, *frame]``, of the rollout; row 0 is the caller's to fill.
        frames: how they are stacked.
    """

    def __init__(self, memory: Tensor, frames: Frames) -> None:
        stacks = memory.numpy()
        self._kept = [stacks[t - 1, :, 1:] for t in range(len(stacks))]  # of t = 0 nobody asks
        self._old, self._newest = list(stacks[:, :, :-1]), list(stacks[:, :, -1:])
        self._repeated = frames.repeated

    def put(self, t: int, newest: NDArray[Any], began: NDArray[np.bool_]) -> None:
        """Write the stacks of step ``t`` >= 1.

        Args:
            t: of the rollout.
            newest: ``[n, 1, *frame]``.
            began: ``[n]``, where an episode begins with this frame.
        """
        old = self._old[t]
        old[...] = self._kept[t]
        self._newest[t][...] = newest
        if began.any():
            old[began] = newest[began] if self._repeated else 0

    def fetch(self, t: int) -> None:
        """Nothing is left to do: :meth:`put` has written the stacks of step ``t``."""


class DeviceStacks:
    """Stacks in the memory of a device, built there; only the newest frames cross.

    Every tensor stays where it is and the host never waits, so that a CUDA graph can hold :meth:`fetch`.

    Args:
        memory: ``[T+1, n, k, *frame]`` on the device, of the rollout; row 0 is the caller's to fill.
        frames: how they are stacked.
        source: ``[n, 1, *frame]`` on the host, from which the device copies.
        to_fill: the same memory as an array; None: the environments write to it themselves.
    """

    def __init__(self, memory: Tensor, frames: Frames, source: Tensor, to_fill: NDArray[Any] | None) -> None:
        self._memory, self._source, self._to_fill = memory, source, to_fill
        flags = (len(source), *[1] * (source.dim() - 1))
        self._began_here = torch.empty(flags, dtype=torch.bool, pin_memory=memory.is_cuda)
        self._began_rows = self._began_here.numpy().reshape(-1)
        self._began = torch.empty_like(self._began_here, device=memory.device)
        self._newest = torch.empty_like(source, device=memory.device)
        self._before_first = self._newest if frames.repeated else torch.zeros_like(self._newest[:1, :1])

    def put(self, t: int, newest: NDArray[Any], began: NDArray[np.bool_]) -> None:
        """Keep what has come for step ``t`` where the device copies it from; arguments as of :meth:`HostStacks.put`."""
        if self._to_fill is not None:
            self._to_fill[...] = newest
        self._began_rows[...] = began

    def fetch(self, t: int) -> None:
        """Write the stacks of step ``t`` >= 1 on the device, without waiting."""
        before, into = self._memory[t - 1], self._memory[t]
        self._newest.copy_(self._source, non_blocking=True)
        self._began.copy_(self._began_here, non_blocking=True)
        torch.where(self._began, self._before_first, before[:, 1:], out=into[:, :-1])
        into[:, -1:].copy_(self._newest)


def stacks_of(
    frames: Frames, memory: Tree, rows: slice, source: Tree | None, to_fill: Any
) -> HostStacks | DeviceStacks:
    """What stacks the frames of some environments.

    Args:
        frames: how they are stacked.
        memory: ``[T+1, N, k, *frame]`` of the rollout, a single tensor.
        rows: of these environments.
        source: memory on the host that the device copies from; None: the device is the host.
        to_fill: as of :class:`DeviceStacks`.

    Raises:
        TypeError: observations of several parts.
    """
    mine = single(memory)[:, rows]
    return HostStacks(mine, frames) if source is None else DeviceStacks(mine, frames, single(source), to_fill)


def continued(stacks: Tensor, newest: Tensor) -> Tensor:
    """Stacks that follow: ``[K, k, *frame]`` without their oldest frames, and the newest ``[K, 1, *frame]``."""
    return torch.cat([stacks[:, 1:], newest], dim=1)
