"""Several switches at once: MultiBinary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from a2c.maths.distributions.pullback import Pullback, columns
from a2c.maths.distributions.standard_noise import logistic


@dataclass(frozen=True, slots=True)
class Bernoullis:
    """D independent actions of 0 or 1, from the logits of 1 ``[*, D]``.

    Args:
        size: D.
    """

    size: int
    free_size: ClassVar[int] = 0
    action_dtype: ClassVar[torch.dtype] = torch.int64

    @property
    def param_size(self) -> int:
        return self.size

    @property
    def noise_size(self) -> int:
        return self.size

    @property
    def action_shape(self) -> tuple[int, ...]:
        return (self.size,)

    def noise(self, uniform: Tensor) -> Tensor:
        """Standard logistic noise ``[*, D]``, the difference of two Gumbels."""
        return logistic(uniform)

    def sample(self, params: Tensor, noise: Tensor, out: Tensor | None = None) -> Tensor:
        actions = (params + noise > 0).to(self.action_dtype)
        return actions if out is None else out.copy_(actions)

    def mode(self, params: Tensor) -> Tensor:
        return (params > 0).to(self.action_dtype)

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        # log p(1) = -softplus(-x), log p(0) = -softplus(x). F.softplus is x itself from 20 on, which float64 would see;
        # F.logsigmoid(x), the same as -softplus(-x), is exact.
        log_prob = F.logsigmoid(torch.where(actions > 0, params, -params)).sum(-1)
        on, off = (torch.sigmoid(x) * F.logsigmoid(x) for x in (params, -params))  # p log p
        return log_prob, -(on + off).sum(-1)

    def log_prob_entropy_pullback(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Pullback]:
        p, q = torch.sigmoid(params), torch.sigmoid(-params)

        def pullback(d_log_prob: Tensor, d_entropy: Tensor | float) -> Tensor:
            # d log p(1) / d x = q;   d log p(0) / d x = -p;   d H / d x = -x p q
            d_log_prob, d_entropy = columns(d_log_prob, d_entropy)
            return torch.where(actions > 0, q, -p).mul_(d_log_prob).sub_(params * p * q * d_entropy)

        log_prob, entropy = self.log_prob_entropy(params, actions)
        return log_prob, entropy, pullback
