"""Mean and log standard deviation of the Gaussians, from their parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)

# Of a standard deviation that is computed from the state: one that is free moves by the learning rate, but one state
# with a large feature would be enough to overflow exp. Haarnoja et al. 2018 (SAC) clamp to the same range.
LOG_STD_RANGE = (-20.0, 2.0)


def mean_and_log_std(params: Tensor, state_dependent: bool) -> tuple[Tensor, Tensor]:
    """``[*, 2 D]`` -> mean and log standard deviation, ``[*, D]`` each; clamped where it depends on the state."""
    mean, log_std = params.chunk(2, -1)
    return mean, log_std.clamp(*LOG_STD_RANGE) if state_dependent else log_std


def d_mean_and_log_std(params: Tensor, d_mean: Tensor, d_log_std: Tensor, state_dependent: bool) -> Tensor:
    """The pullback of :func:`mean_and_log_std`: ``[*, D]`` twice -> ``[*, 2 D]``; 0 where the clamp holds."""
    if state_dependent:
        low, high = LOG_STD_RANGE
        raw = params.chunk(2, -1)[1]
        d_log_std = torch.where((raw >= low) & (raw <= high), d_log_std, 0.0)
    return torch.cat([d_mean, d_log_std], -1)
