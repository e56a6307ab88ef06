"""The memory of rollouts: all share it, so that CUDA graphs find it at the same place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from a2c.envs.spaces import ObsLeaf, Spaces
from a2c.machine.transfer import page_locked
from a2c.maths.distributions import Distribution
from a2c.maths.trees import Tree, leaves, tree_map


def empty_observations(spaces: Spaces, steps: int, count: int, device: torch.device) -> Tree:
    """Memory for observations ``[steps, count, *obs]``, a tree; not initialised."""

    def empty(part: ObsLeaf) -> Tensor:
        return torch.empty(steps, count, *part.shape, dtype=getattr(torch, part.dtype), device=device)

    memory: Tree = tree_map(empty, spaces.obs)
    return memory


def empty_actions(distribution: Distribution, steps: int, count: int, device: torch.device) -> Tensor:
    """Memory for the actions of a rollout, ``[steps, count, *action]``; not initialised."""
    return torch.empty(steps, count, *distribution.action_shape, dtype=distribution.action_dtype, device=device)


def arrivals(first: Any, written: NDArray[Any] | None, memory: Tree, notify: Callable[[str], None]) -> tuple[Tree, Any]:
    """Memory on the host that a device copies the observations of a step from, page-locked on CUDA.

    Args:
        first: ``[n, *obs]``, a tree of arrays: observations as they arrive.
        written: the memory that the environments themselves write every observation to; None: there is none.
        memory: of the rollout, on the device; its dtypes are the arrivals'.
        notify: called with one line if what the environments write cannot be page-locked.

    Returns:
        The memory, and the same as arrays to fill, None where environments write to it themselves.
    """
    if leaves(memory)[0].is_cuda and written is not None and (locked := page_locked(written, notify)) is not None:
        return locked, None

    def empty(part: NDArray[Any], into: Tensor) -> Tensor:
        return torch.empty(part.shape, dtype=into.dtype, pin_memory=into.is_cuda)

    source: Tree = tree_map(empty, first, memory)
    return source, tree_map(Tensor.numpy, source)


def start_from_end(obs: Tensor) -> None:
    """Copy the last row of ``[T+1, N, *obs]`` to the first: a rollout starts where the last one ended."""
    obs[0].copy_(obs[-1])
