"""The record of a rollout."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from a2c.maths.trees import Tree, tree_map


@dataclass(slots=True)
class Rollout:
    """T lockstep steps of N environments, time-major, on the learner's device."""

    obs: Tree  # [T+1, N, *obs]  raw; the last row is where the next rollout starts
    actions: Tensor  # [T, N] int64 or [T, N, D] float32, as drawn
    rewards: Tensor  # [T, N]
    terminated: Tensor  # [T, N] bool  the world ended: nothing follows
    truncated: Tensor  # [T, N] bool  the clock ended: bootstrap from final_values
    final_values: Tensor  # [T, N]  V(final observation) where truncated, else 0
    weight: Tensor | None  # [T, N]  0 for rows that are no transition, else 1; None: all are transitions
    transitions: int  # number of valid rows, on the host
    memory: Tensor | None = None  # [T+1, N, S]  the network's state before each step, not cleared; None: it has none
    began: Tensor | None = None  # [T+1, N] bool  an episode begins with obs: its step starts from a cleared memory


def columns(rollout: Rollout, envs: slice | Tensor) -> Rollout:
    """The part of a rollout that some of its environments collected.

    Args:
        rollout: of N environments.
        envs: which ones; an index may come more than once.

    Returns:
        A rollout ``[T, n]``, on the same memory if ``envs`` is a slice.
    """
    return rebuilt(lambda part: part[:, envs], rollout)


def rebuilt(make: Callable[..., Tensor], *rollouts: Rollout) -> Rollout:
    """Make a rollout, each of its tensors from the same tensor of other rollouts.

    Args:
        make: takes one tensor of each rollout, time-major, and returns the new one.
        rollouts: all with a weight and all with a memory, or all without.
    """
    apart = {"weight", "transitions"} | {name for name in ("memory", "began") if getattr(rollouts[0], name) is None}
    fields = [field.name for field in dataclasses.fields(Rollout) if field.name not in apart]
    made = {name: tree_map(make, *(getattr(rollout, name) for rollout in rollouts)) for name in fields}
    weights = [rollout.weight for rollout in rollouts]
    weight = None if all(one is None for one in weights) else make(*weights)
    count = made["rewards"].numel() if weight is None else int(torch.count_nonzero(weight))
    return Rollout(**made, weight=weight, transitions=count)
