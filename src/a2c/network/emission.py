"""From actions as a distribution draws them to actions in the bounds of the environment."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from a2c.envs.spaces import Spaces
from a2c.maths.distributions import Betas, Distribution, Joint, SquashedGaussian

Emission = Callable[[Tensor], Tensor]  # [*, *action as drawn] -> [*, *action of the environment]


def emission_of(distribution: Distribution, spaces: Spaces, device: torch.device) -> Emission | None:
    """What an environment gets of an action; None where that is the action as drawn.

    Args:
        distribution: of the policy.
        spaces: of the environment, with the bounds of its actions.
        device: of the actions.
    """
    parts = distribution.parts if isinstance(distribution, Joint) else (distribution,)
    if not any(isinstance(part, SquashedGaussian | Betas) for part in parts):
        return None
    low, high = (torch.tensor(bound, dtype=torch.float32, device=device) for bound in (spaces.low, spaces.high))
    emissions: list[Emission] = []
    begin = 0
    for part in parts:
        width = part.size if isinstance(part, SquashedGaussian | Betas) else math.prod(part.action_shape)
        emissions.append(_emission(part, low[begin : begin + width], high[begin : begin + width]))
        begin += width
    if not isinstance(distribution, Joint):
        return emissions[0]
    columns = distribution.action_columns

    def emit(actions: Tensor) -> Tensor:
        emitted = [one(actions[..., place]) for one, place in zip(emissions, columns, strict=True)]
        return torch.cat(emitted, -1)

    return emit


def _emission(part: Distribution, low: Tensor, high: Tensor) -> Emission:
    if isinstance(part, SquashedGaussian):
        size, middle, half = part.size, (low + high) / 2, (high - low) / 2
        return lambda actions: torch.addcmul(middle, torch.tanh(actions[..., :size]), half)
    if isinstance(part, Betas):
        return lambda actions: torch.addcmul(low, actions, high - low)
    return lambda actions: actions
