"""From features to the parameters of the action distribution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2c.envs.converting.actions import BINARY, DISCRETE
from a2c.envs.spaces import Spaces
from a2c.maths.distributions import Bernoullis, Categorical, Categoricals, DiagonalGaussian, Distribution, Joint


def distribution_of(spaces: Spaces) -> Distribution:
    """The action distribution for an environment's action space."""
    if spaces.parts:
        parts = tuple(_of_part(kind, sizes) for kind, sizes in spaces.parts)
        return parts[0] if len(parts) == 1 else Joint(parts)
    return Categorical(spaces.actions) if spaces.discrete else DiagonalGaussian(spaces.actions)


def _of_part(kind: str, sizes: tuple[int, ...]) -> Distribution:
    if kind == DISCRETE:
        return Categoricals(sizes)
    return Bernoullis(sizes[0]) if kind == BINARY else DiagonalGaussian(sizes[0])


class PolicyHead(nn.Module):
    """Features -> parameters of the action distribution.

    Args:
        features: F.
        distribution: of P parameters.
        log_std_init: initial log standard deviation; it is learned, and the same in every state.
    """

    def __init__(self, features: int, distribution: Distribution, log_std_init: float) -> None:
        super().__init__()
        free = distribution.free_size
        self.linear = nn.Linear(features, distribution.param_size - free, dtype=torch.float32)
        self.log_std = nn.Parameter(torch.full((free,), log_std_init, dtype=torch.float32)) if free else None

    def forward(self, features: Tensor) -> Tensor:
        """``[B, F]`` -> ``[B, P]``: logits, or mean and log standard deviation."""
        return self.with_spread(F.linear(features, self.linear.weight, self.linear.bias))

    def with_spread(self, out: Tensor) -> Tensor:
        """Append the log standard deviations, if there are any, to the output of the linear layer."""
        return out if self.log_std is None else torch.cat([out, self.log_std.expand(*out.shape[:-1], -1)], -1)
