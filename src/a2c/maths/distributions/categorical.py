"""One of n actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from a2c.maths.distributions.pullback import Pullback, columns
from a2c.maths.distributions.standard_noise import gumbel


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of n actions, from logits ``[*, n]``."""

    n: int
    free_size: ClassVar[int] = 0
    action_shape: ClassVar[tuple[int, ...]] = ()
    action_dtype: ClassVar[torch.dtype] = torch.int64

    @property
    def param_size(self) -> int:
        return self.n

    @property
    def noise_size(self) -> int:
        return self.n

    def noise(self, uniform: Tensor) -> Tensor:
        """Standard Gumbel noise ``[*, n]``."""
        return gumbel(uniform)

    def sample(self, params: Tensor, noise: Tensor, out: Tensor | None = None) -> Tensor:
        # Gumbel-max instead of multinomial: a pure function of (logits, noise). Maddison et al. 2014.
        return torch.argmax(params + noise, -1, out=out)

    def mode(self, params: Tensor) -> Tensor:
        return params.argmax(-1)

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        log_p = torch.log_softmax(params, -1)
        log_prob = log_p.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
        return log_prob, -(log_p.exp() * log_p).sum(-1)

    def log_prob_entropy_pullback(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Pullback]:
        log_p = torch.log_softmax(params, -1)
        p = log_p.exp()
        taken = actions.unsqueeze(-1)
        minus_entropy = (p * log_p).sum(-1, keepdim=True)

        def pullback(d_log_prob: Tensor, d_entropy: Tensor | float) -> Tensor:
            # d log p[a] / d x = 1[a] - p;   d H / d x = -p (log p + H)
            d_log_prob, d_entropy = columns(d_log_prob, d_entropy)
            d_params = (log_p - minus_entropy).mul_(d_entropy).add_(d_log_prob).mul_(p).neg_()
            return d_params.scatter_add_(-1, taken, d_log_prob)

        return log_p.gather(-1, taken).squeeze(-1), minus_entropy.squeeze(-1).neg(), pullback
