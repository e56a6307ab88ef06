"""Action distributions: pure functions of (parameters, noise).

Sampling takes its noise as an argument, so that grouping, resuming and other devices draw the
same actions. Both classes are stateless and answer the same calls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Distribution(Protocol):
    """What acting and learning need of a distribution; ``*`` stands for any leading shape."""

    @property
    def param_size(self) -> int:
        """P: numbers that the network must give."""

    @property
    def noise_size(self) -> int:
        """K: uniform numbers that one sample takes."""

    def noise(self, uniform: Tensor) -> Tensor:
        """``[*, K]`` uniform in (0, 1) -> the noise that :meth:`sample` takes."""

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        """``[*, P]``, noise -> actions ``[*]`` int64 or ``[*, D]`` float32."""

    def mode(self, params: Tensor) -> Tensor:
        """``[*, P]`` -> the most likely action."""

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """``[*, P]``, actions -> log-probability ``[*]`` and entropy ``[*]``, in nats."""


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of n actions, from logits ``[*, n]``."""

    n: int

    @property
    def param_size(self) -> int:
        return self.n

    @property
    def noise_size(self) -> int:
        return self.n

    def noise(self, uniform: Tensor) -> Tensor:
        """Standard Gumbel noise ``[*, n]``."""
        return -torch.log(-torch.log(uniform))

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        # Gumbel-max instead of multinomial: a pure function of (logits, noise). Maddison et al. 2014.
        return (params + noise).argmax(-1)

    def mode(self, params: Tensor) -> Tensor:
        return params.argmax(-1)

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        log_p = torch.log_softmax(params, -1)
        log_prob = log_p.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        return log_prob, -(log_p.exp() * log_p).sum(-1)


@dataclass(frozen=True, slots=True)
class DiagonalGaussian:
    """D independent normals, from mean and log standard deviation ``[*, 2 D]``.

    Unsquashed: the environment clips at its door, while log pi is of the action as drawn.
    """

    size: int

    @property
    def param_size(self) -> int:
        return 2 * self.size

    @property
    def noise_size(self) -> int:
        return 2 * self.size

    def noise(self, uniform: Tensor) -> Tensor:
        """Standard normal noise ``[*, D]`` (Box & Muller 1958)."""
        radius, angle = uniform[..., ::2], uniform[..., 1::2]
        return torch.sqrt(-2.0 * torch.log(radius)) * torch.cos(2.0 * math.pi * angle)

    def sample(self, params: Tensor, noise: Tensor) -> Tensor:
        mean, log_std = params.chunk(2, -1)
        return mean + log_std.exp() * noise

    def mode(self, params: Tensor) -> Tensor:
        return params[..., : self.size]

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = params.chunk(2, -1)
        z = (actions - mean) * torch.exp(-log_std)
        log_prob = (-0.5 * z.square() - log_std - _HALF_LOG_2PI).sum(-1)
        return log_prob, (log_std + (0.5 + _HALF_LOG_2PI)).sum(-1)
