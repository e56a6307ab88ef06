"""Independent normals, squashed by tanh into a box."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from a2c.maths.distributions.pullback import Pullback, columns
from a2c.maths.distributions.spread import HALF_LOG_2PI, d_mean_and_log_std, mean_and_log_std
from a2c.maths.distributions.standard_noise import normal_pairs


@dataclass(frozen=True, slots=True)
class SquashedGaussian:
    """tanh of D independent normals, from mean and log standard deviation ``[*, 2 D]``.

        log pi(a) = sum[log N(u) - log(1 - tanh(u)^2)] - log_scale,     a = tanh(u) in the box

    An action as drawn is ``[u, e]``, ``[*, 2 D]``: u before tanh, because tanh of a large u rounds to 1 and would take
    its probability with it, and standard normal noise e of a second sample, for the entropy, which has no closed form:

        H = -log pi(u'),     u' = mean + std * e

    It is right on average. The second sample must be a fresh one: with u itself the gradient would be biased, because
    u is a constant of the loss. The environment gets tanh(u), scaled to its box.

    Args:
        size: D.
        log_scale: sum over dimensions of log((high - low) / 2), the Jacobian of scaling (-1, 1) to the box.
        state_dependent: the log standard deviation is computed from the state, and clamped, instead of free.

    Source: Haarnoja et al. 2018 (SAC), appendix C.
    """

    size: int
    log_scale: float = 0.0
    state_dependent: bool = False
    action_dtype: ClassVar[torch.dtype] = torch.float32

    @property
    def param_size(self) -> int:
        return 2 * self.size

    @property
    def free_size(self) -> int:
        return 0 if self.state_dependent else self.size

    @property
    def action_shape(self) -> tuple[int, ...]:
        return (2 * self.size,)

    @property
    def noise_size(self) -> int:
        return 2 * self.size

    def noise(self, uniform: Tensor) -> Tensor:
        """Standard normal noise ``[*, 2 D]``: that of the action, and e."""
        return normal_pairs(uniform)

    def sample(self, params: Tensor, noise: Tensor, out: Tensor | None = None) -> Tensor:
        mean, log_std = mean_and_log_std(params, self.state_dependent)
        of_action, of_entropy = noise.chunk(2, -1)
        return torch.cat([torch.addcmul(mean, log_std.exp(), of_action), of_entropy], -1, out=out)

    def mode(self, params: Tensor) -> Tensor:
        """The mean, and zeros for e: the median of the squashed action, whose density may be largest at the edge."""
        mean = params[..., : self.size]
        return torch.cat([mean, torch.zeros_like(mean)], -1)

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = mean_and_log_std(params, self.state_dependent)
        u, e = actions.chunk(2, -1)
        std = log_std.exp()
        log_prob = -0.5 * ((u - mean) / std).square() - log_std - HALF_LOG_2PI - _log_slope(u)
        # Of the second sample (u' - mean) / std is e, whatever the parameters are.
        entropy = 0.5 * e.square() + log_std + HALF_LOG_2PI + _log_slope(mean + std * e)
        return log_prob.sum(-1) - self.log_scale, entropy.sum(-1) + self.log_scale

    def log_prob_entropy_pullback(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Pullback]:
        mean, log_std = mean_and_log_std(params, self.state_dependent)
        u, e = actions.chunk(2, -1)
        std = log_std.exp()
        z = (u - mean) / std

        def pullback(d_log_prob: Tensor, d_entropy: Tensor | float) -> Tensor:
            # d log p / d mean = z / std;   d log p / d log_std = z^2 - 1
            # d H / d mean = -2 tanh(u');   d H / d log_std = 1 - 2 tanh(u') std e
            d_log_prob, d_entropy = columns(d_log_prob, d_entropy)
            d_second = -2.0 * torch.tanh(mean + std * e) * d_entropy
            d_mean = z / std * d_log_prob + d_second
            d_log_std = (z.square() - 1) * d_log_prob + d_entropy + d_second * std * e
            return d_mean_and_log_std(params, d_mean, d_log_std, self.state_dependent)

        log_prob, entropy = self.log_prob_entropy(params, actions)
        return log_prob, entropy, pullback


def _log_slope(u: Tensor) -> Tensor:
    """log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u)), finite where tanh(u) rounds to 1."""
    return 2.0 * (math.log(2) - u + F.logsigmoid(2.0 * u))  # F.softplus(x) is x itself from 20 on
