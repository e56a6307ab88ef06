"""Masks of legal actions in the network: off the observations, onto the logits."""

from __future__ import annotations

import torch
from torch import Tensor

from a2c.envs.converting.actions import CONTINUOUS, DISCRETE
from a2c.envs.spaces import Spaces

ILLEGAL = -1e9  # added to logits: large and finite, so that gradients stay numbers


class Masking:
    """Takes the mask off observations, where its columns are the last, and forbids what it does not allow.

    Args:
        spaces: of the environment; without a mask, nothing is done.

    Attributes:
        shape: of an observation without its mask.
    """

    def __init__(self, spaces: Spaces) -> None:
        self.columns = spaces.mask
        self.shape = (spaces.obs_shape[0] - spaces.mask,) if spaces.mask else spaces.obs_shape
        self._logits = _logit_columns(spaces)
        self._all = bool(spaces.mask) and len(self._logits) == _param_columns(spaces)

    def features(self, obs: Tensor) -> Tensor:
        """``[*, D + M]`` -> ``[*, D]``."""
        return obs[..., : -self.columns] if self.columns else obs

    def masked(self, params: Tensor, obs: Tensor) -> Tensor:
        """Parameters ``[*, P]`` with the logits of illegal actions far below all others, by ``[*, D + M]``."""
        if not self.columns:
            return params
        penalty = (obs[..., -self.columns :] - 1) * -ILLEGAL
        if self._all:
            return params + penalty
        full = torch.zeros_like(params)
        full[..., self._logits] = penalty
        return params + full


def _logit_columns(spaces: Spaces) -> list[int]:
    """Where among the parameters the logits of discrete parts are; free parameters come last and count for nothing."""
    if not spaces.parts:
        return list(range(spaces.actions)) if spaces.discrete else []
    columns: list[int] = []
    begin = 0
    for kind, sizes in spaces.parts:
        width = sum(sizes)
        columns += range(begin, begin + width) if kind == DISCRETE else ()
        begin += width  # of a continuous part the means; its standard deviations are free
    return columns


def _param_columns(spaces: Spaces) -> int:
    if not spaces.parts:
        return spaces.actions
    return sum(sum(sizes) * (2 if kind == CONTINUOUS else 1) for kind, sizes in spaces.parts)
