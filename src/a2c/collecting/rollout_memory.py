"""The memory of rollouts: all share it, so that CUDA graphs find it at the same place."""

from __future__ import annotations

import torch
from torch import Tensor

from a2c.envs.spaces import ObsPart, Spaces
from a2c.maths.distributions import Distribution
from a2c.maths.trees import Tree, tree_map


def empty_observations(spaces: Spaces, steps: int, count: int, device: torch.device) -> Tree:
    """Memory for observations ``[steps, count, *obs]``, a tree; not initialised."""

    def empty(part: ObsPart) -> Tensor:
        return torch.empty(steps, count, *part.shape, dtype=getattr(torch, part.dtype), device=device)

    memory: Tree = tree_map(empty, spaces.obs)
    return memory


def empty_actions(distribution: Distribution, steps: int, count: int, device: torch.device) -> Tensor:
    """Memory for the actions of a rollout, ``[steps, count, *action]``; not initialised."""
    return torch.empty(steps, count, *distribution.action_shape, dtype=distribution.action_dtype, device=device)


def start_from_end(obs: Tensor) -> None:
    """Copy the last row of ``[T+1, N, *obs]`` to the first: a rollout starts where the last one ended."""
    obs[0].copy_(obs[-1])
