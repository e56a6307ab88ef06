"""From uniform numbers in (0, 1) to the standard noise of each family."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gumbel(uniform: Tensor) -> Tensor:
    """``[*, K]`` -> standard Gumbel noise ``[*, K]``."""
    return -torch.log(-torch.log(uniform))


def logistic(uniform: Tensor) -> Tensor:
    """``[*, K]`` -> standard logistic noise ``[*, K]``."""
    return torch.log(uniform) - torch.log1p(-uniform)


def normal(uniform: Tensor) -> Tensor:
    """``[*, 2 K]`` -> standard normal noise ``[*, K]`` (Box & Muller 1958)."""
    radius, angle = uniform[..., ::2], uniform[..., 1::2]
    return torch.sqrt(-2.0 * torch.log(radius)) * torch.cos(2.0 * math.pi * angle)


def normal_pairs(uniform: Tensor) -> Tensor:
    """``[*, 2 K]`` -> standard normal noise ``[*, 2 K]``: that of :func:`normal`, then as much of the sines."""
    radius, angle = torch.sqrt(-2.0 * torch.log(uniform[..., ::2])), 2.0 * math.pi * uniform[..., 1::2]
    return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], -1)
