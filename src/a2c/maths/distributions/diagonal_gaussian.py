"""Independent normals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from a2c.maths.distributions.pullback import Pullback, columns
from a2c.maths.distributions.spread import HALF_LOG_2PI, d_mean_and_log_std, mean_and_log_std
from a2c.maths.distributions.standard_noise import normal


@dataclass(frozen=True, slots=True)
class DiagonalGaussian:
    """D independent normals, from mean and log standard deviation ``[*, 2 D]``.

    Unsquashed: log pi is that of the action as drawn, before it is clipped for the environment.

    Args:
        size: D.
        state_dependent: the log standard deviation is computed from the state, and clamped, instead of free.
    """

    size: int
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
        return (self.size,)

    @property
    def noise_size(self) -> int:
        return 2 * self.size

    def noise(self, uniform: Tensor) -> Tensor:
        """Standard normal noise ``[*, D]``."""
        return normal(uniform)

    def sample(self, params: Tensor, noise: Tensor, out: Tensor | None = None) -> Tensor:
        mean, log_std = mean_and_log_std(params, self.state_dependent)
        return torch.addcmul(mean, log_std.exp(), noise, out=out)

    def mode(self, params: Tensor) -> Tensor:
        return params[..., : self.size]

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = mean_and_log_std(params, self.state_dependent)
        z = (actions - mean) * torch.exp(-log_std)
        log_prob = (-0.5 * z.square() - log_std - HALF_LOG_2PI).sum(-1)
        return log_prob, (log_std + (0.5 + HALF_LOG_2PI)).sum(-1)

    def log_prob_entropy_pullback(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Pullback]:
        mean, log_std = mean_and_log_std(params, self.state_dependent)
        precision = torch.exp(-log_std)
        z = (actions - mean).mul_(precision)

        def pullback(d_log_prob: Tensor, d_entropy: Tensor | float) -> Tensor:
            # d log p / d mean = z / std;   d log p / d log_std = z^2 - 1;   d H / d log_std = 1
            d_log_prob, d_entropy = columns(d_log_prob, d_entropy)
            d_mean = (z * precision).mul_(d_log_prob)
            d_log_std = (z.square() - 1).mul_(d_log_prob).add_(d_entropy)
            return d_mean_and_log_std(params, d_mean, d_log_std, self.state_dependent)

        log_prob, entropy = self.log_prob_entropy(params, actions)
        return log_prob, entropy, pullback
