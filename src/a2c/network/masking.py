"""Masks of legal actions in the network: off the observations, onto the logits."""

from __future__ import annotations

import torch
from torch import Tensor

from a2c.envs.converting.actions import DISCRETE
from a2c.envs.spaces import Spaces
from a2c.maths.distributions import Distribution, Joint

ILLEGAL = -1e9  # added to logits: large and finite, so that gradients stay numbers


def unmasked_shape(spaces: Spaces) -> tuple[int, ...]:
    """The shape of an observation without its mask."""
    return (spaces.obs_shape[0] - spaces.mask,) if spaces.mask else spaces.obs_shape


class Masking:
    """Takes the mask off observations, where its columns are the last, and forbids what it does not allow.

    Args:
        spaces: of the environment; without a mask, nothing is done.
        distribution: of its actions, whose parameters hold the logits.
    """

    def __init__(self, spaces: Spaces, distribution: Distribution) -> None:
        self.columns = spaces.mask
        self._logits = _logit_columns(spaces, distribution)
        self._all = bool(spaces.mask) and len(self._logits) == distribution.param_size

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


def _logit_columns(spaces: Spaces, distribution: Distribution) -> list[int]:
    """Where among the parameters the logits of discrete parts are; free parameters come last and count for nothing."""
    if not spaces.parts:
        return list(range(spaces.actions)) if spaces.discrete else []
    columns: list[int] = []
    begin = 0
    parts = distribution.parts if isinstance(distribution, Joint) else (distribution,)
    for (kind, _), part in zip(spaces.parts, parts, strict=True):
        end = begin + part.param_size - part.free_size
        columns += range(begin, end) if kind == DISCRETE else ()
        begin = end
    return columns
