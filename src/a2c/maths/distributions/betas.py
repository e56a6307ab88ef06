"""Independent Beta variables: actions in a box, without squashing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from a2c.maths.distributions.pullback import Pullback, columns
from a2c.maths.distributions.standard_noise import normal_pairs

TRIES = 6
EPS = 2.0**-24  # 1 - EPS is the largest float32 below 1


@dataclass(frozen=True, slots=True)
class Betas:
    """D independent Beta variables in (0, 1), from ``[*, 2 D]``: x of every alpha, then of every beta.

        alpha, beta = 1 + softplus(x)

    Both above 1, so that the density has one mode, inside. The environment gets its action scaled to its box.

    A sample is a / (a + b) with a ~ Gamma(alpha), b ~ Gamma(beta), each by rejection (Marsaglia & Tsang 2000). So that
    it is a function of a fixed amount of noise, each Gamma has 6 tries. One is accepted with probability
    e^d Gamma(k) d^(1/2 - k) / sqrt(2 pi), d = k - 1/3, which is least at shape k = 1: 0.9517. All six fail once in
    8e7 draws at most; then the sample is d, the mode of the proposal. Up to that it is exact.

    Args:
        size: D.
        log_scale: sum over dimensions of log(high - low), the Jacobian of scaling (0, 1) to the box.

    Source: Chou et al. 2017, "Improving stochastic policy gradients in continuous control ... using the Beta
    distribution".
    """

    size: int
    log_scale: float = 0.0
    free_size: ClassVar[int] = 0
    action_dtype: ClassVar[torch.dtype] = torch.float32

    @property
    def param_size(self) -> int:
        return 2 * self.size

    @property
    def action_shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def noise_size(self) -> int:
        """Two numbers a try, for two Gamma variables a dimension."""
        return 2 * TRIES * 2 * self.size

    def noise(self, uniform: Tensor) -> Tensor:
        """What the tries take, flat: normal z and log-uniform, ``[*, 2, tries + 1, 2 D]``.

        The last try is z = 0, where the acceptance is certain: log 1 = 0.
        """
        z, accept = torch.unflatten(uniform, -1, (2, TRIES * 2 * self.size)).unbind(-2)
        tries = [torch.unflatten(part, -1, (TRIES, 2 * self.size)) for part in (normal_pairs(z), torch.log(accept))]
        ended = [F.pad(part, (0, 0, 0, 1), value=last) for part, last in zip(tries, (0.0, -1.0), strict=True)]
        return torch.stack(ended, -3).flatten(-3)

    def sample(self, params: Tensor, noise: Tensor, out: Tensor | None = None) -> Tensor:
        z, log_uniform = torch.unflatten(noise, -1, (2, TRIES + 1, 2 * self.size)).unbind(-3)
        d = (_excess(params) + 2 / 3).unsqueeze(-2)
        root = 1 + z / (3 * d.sqrt())
        cube = root * root * root
        # The logarithm of a negative number is nan, which is below nothing.
        accepted = log_uniform < 0.5 * z.square() + d * (1 - cube + 3 * torch.log(root))
        first = accepted.to(torch.uint8).argmax(-2, keepdim=True)
        a, b = (d * cube).gather(-2, first).squeeze(-2).chunk(2, -1)
        return torch.clamp(a / (a + b), EPS, 1 - EPS, out=out)

    def mode(self, params: Tensor) -> Tensor:
        """(alpha - 1) / (alpha + beta - 2); 1/2 where the density is so flat that both round to 0."""
        a, b = (_excess(params) + torch.finfo(params.dtype).tiny).chunk(2, -1)
        return torch.clamp(a / (a + b), EPS, 1 - EPS)

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        a, b = _excess(params).chunk(2, -1)
        alpha, beta, both = a + 1, b + 1, a + b + 2
        log_x, log_rest = _logs(actions)
        log_beta = torch.lgamma(alpha) + torch.lgamma(beta) - torch.lgamma(both)
        log_prob = a * log_x + b * log_rest - log_beta
        spread = (a + b) * torch.digamma(both) - a * torch.digamma(alpha) - b * torch.digamma(beta)
        return log_prob.sum(-1) - self.log_scale, (log_beta + spread).sum(-1) + self.log_scale

    def log_prob_entropy_pullback(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Pullback]:
        excess = _excess(params)
        a, b = excess.chunk(2, -1)

        def pullback(d_log_prob: Tensor, d_entropy: Tensor | float) -> Tensor:
            # d log p / d alpha = log x - psi(alpha) + psi(alpha + beta);   d alpha / d x = sigmoid(x)
            # d H / d alpha = (alpha + beta - 2) psi'(alpha + beta) - (alpha - 1) psi'(alpha);   and so for beta
            d_log_prob, d_entropy = columns(d_log_prob, d_entropy)
            both, shape = a + b + 2, excess + 1
            common = torch.digamma(both) * d_log_prob + (a + b) * torch.polygamma(1, both) * d_entropy
            own = (torch.cat(_logs(actions), -1) - torch.digamma(shape)) * d_log_prob
            own = own - excess * torch.polygamma(1, shape) * d_entropy
            return (own + torch.cat([common, common], -1)) * torch.sigmoid(params)

        log_prob, entropy = self.log_prob_entropy(params, actions)
        return log_prob, entropy, pullback


def _excess(params: Tensor) -> Tensor:
    """What alpha and beta exceed 1 by: softplus, as F.logsigmoid, for F.softplus(x) is x itself from 20 on."""
    return -F.logsigmoid(-params)


def _logs(actions: Tensor) -> tuple[Tensor, Tensor]:
    """The logs of x and 1 - x, finite at 0 and 1, where the density of a Beta may be 0."""
    x = actions.clamp(EPS, 1 - EPS)
    return torch.log(x), torch.log1p(-x)
