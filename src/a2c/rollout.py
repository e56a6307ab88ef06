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
    transitions: int  # valid rows, known to the host


def columns(rollout: Rollout, envs: slice | Tensor) -> Rollout:
    """What some of the environments did.

    Args:
        rollout: of N environments.
        envs: which ones; an index may come more than once.

    Returns:
        ``[T, n]``, on the same memory where ``envs`` is a slice.
    """
    return rebuilt(lambda part: part[:, envs], rollout)


def rebuilt(make: Callable[..., Tensor], *rollouts: Rollout) -> Rollout:
    """A rollout whose every tensor is made of the same tensor of others.

    Args:
        make: takes that tensor of each rollout, time-major, and gives the new one.
        rollouts: all with a weight, or all without.
    """
    fields = [field.name for field in dataclasses.fields(Rollout) if field.name not in ("weight", "transitions")]
    made = {name: tree_map(make, *(getattr(rollout, name) for rollout in rollouts)) for name in fields}
    weights = [rollout.weight for rollout in rollouts]
    weight = None if all(one is None for one in weights) else make(*weights)
    count = made["rewards"].numel() if weight is None else int(torch.count_nonzero(weight))
    return Rollout(**made, weight=weight, transitions=count)
