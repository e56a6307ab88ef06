"""Action distributions: pure functions of (parameters, noise).

Sampling takes its noise as an argument, so that it draws the same actions in any grouping of environments, after a
resume and on any device. A distribution holds no state. It defines the shape and dtype of its actions: code that
stores actions asks it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Protocol

import torch
from torch import Tensor

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)

# d_log_prob [*], d_entropy [*] or a number -> d_params [*, P]
Pullback = Callable[[Tensor, Tensor | float], Tensor]


class Distribution(Protocol):
    """What acting and learning need of a distribution; ``*`` stands for any leading shape."""

    @property
    def param_size(self) -> int:
        """P: number of its parameters."""

    @property
    def free_size(self) -> int:
        """How many of the P, the last ones, are the same in every state: learned, not computed from observations."""

    @property
    def noise_size(self) -> int:
        """K: number of uniform numbers that one sample takes."""

    @property
    def action_shape(self) -> tuple[int, ...]:
        """Shape of one action."""

    @property
    def action_dtype(self) -> torch.dtype:
        """Dtype of actions as drawn; the environment's own may differ."""

    def noise(self, uniform: Tensor) -> Tensor:
        """``[*, K]`` uniform in (0, 1) -> the noise that :meth:`sample` takes."""

    def sample(self, params: Tensor, noise: Tensor, out: Tensor | None = None) -> Tensor:
        """``[*, P]``, noise -> actions ``[*, *action_shape]``, in ``out`` if given."""

    def mode(self, params: Tensor) -> Tensor:
        """``[*, P]`` -> the most likely action."""

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """``[*, P]``, actions -> log-probability ``[*]`` and entropy ``[*]``, in nats."""


LogProbEntropyPullback = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Pullback]]


def pullback_of(distribution: Distribution) -> LogProbEntropyPullback:
    """A function like ``log_prob_entropy`` that also returns a pullback of both gradients to the parameters.

    A distribution may have its own ``log_prob_entropy_pullback`` in closed form: at the sizes of a rollout, autograd's
    bookkeeping costs several times the arithmetic. For all others autograd does it.

    Returns:
        A function of parameters ``[*, P]`` and actions. It returns the log-probability ``[*]`` and the entropy ``[*]``,
        both without a graph, and the pullback, which turns their gradients (that of the entropy may be one number for
        all) into the gradient of the parameters ``[*, P]``.
    """
    own: LogProbEntropyPullback | None = getattr(distribution, "log_prob_entropy_pullback", None)
    return partial(_by_autograd, distribution) if own is None else own


def _by_autograd(distribution: Distribution, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Pullback]:
    with torch.enable_grad():
        inputs = params.detach().requires_grad_()
        log_prob, entropy = distribution.log_prob_entropy(inputs, actions)

    def pullback(d_log_prob: Tensor, d_entropy: Tensor | float) -> Tensor:
        d_entropy = torch.as_tensor(d_entropy, dtype=entropy.dtype, device=entropy.device).expand_as(entropy)
        pairs = [(out, d_out) for out, d_out in ((log_prob, d_log_prob), (entropy, d_entropy)) if out.requires_grad]
        outs, d_outs = zip(*pairs, strict=True)  # the entropy may not depend on the parameters
        (d_params,) = torch.autograd.grad(outs, inputs, d_outs)
        return d_params

    return log_prob.detach(), entropy.detach(), pullback


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
        return -torch.log(-torch.log(uniform))

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
            d_log_prob = d_log_prob.unsqueeze(-1)
            d_entropy = d_entropy.unsqueeze(-1) if isinstance(d_entropy, Tensor) else d_entropy
            d_params = (log_p - minus_entropy).mul_(d_entropy).add_(d_log_prob).mul_(p).neg_()
            return d_params.scatter_add_(-1, taken, d_log_prob)

        return log_p.gather(-1, taken).squeeze(-1), minus_entropy.squeeze(-1).neg(), pullback


@dataclass(frozen=True, slots=True)
class DiagonalGaussian:
    """D independent normals, from mean and log standard deviation ``[*, 2 D]``.

    Unsquashed: log pi is that of the action as drawn, before it is clipped for the environment.
    """

    size: int
    action_dtype: ClassVar[torch.dtype] = torch.float32

    @property
    def param_size(self) -> int:
        return 2 * self.size

    @property
    def free_size(self) -> int:
        return self.size

    @property
    def action_shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def noise_size(self) -> int:
        return 2 * self.size

    def noise(self, uniform: Tensor) -> Tensor:
        """Standard normal noise ``[*, D]`` (Box & Muller 1958)."""
        radius, angle = uniform[..., ::2], uniform[..., 1::2]
        return torch.sqrt(-2.0 * torch.log(radius)) * torch.cos(2.0 * math.pi * angle)

    def sample(self, params: Tensor, noise: Tensor, out: Tensor | None = None) -> Tensor:
        mean, log_std = params.chunk(2, -1)
        return torch.addcmul(mean, log_std.exp(), noise, out=out)

    def mode(self, params: Tensor) -> Tensor:
        return params[..., : self.size]

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = params.chunk(2, -1)
        z = (actions - mean) * torch.exp(-log_std)
        log_prob = (-0.5 * z.square() - log_std - _HALF_LOG_2PI).sum(-1)
        return log_prob, (log_std + (0.5 + _HALF_LOG_2PI)).sum(-1)

    def log_prob_entropy_pullback(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Pullback]:
        mean, log_std = params.chunk(2, -1)
        precision = torch.exp(-log_std)
        z = (actions - mean).mul_(precision)

        def pullback(d_log_prob: Tensor, d_entropy: Tensor | float) -> Tensor:
            # d log p / d mean = z / std;   d log p / d log_std = z^2 - 1;   d H / d log_std = 1
            d_log_prob = d_log_prob.unsqueeze(-1)
            d_entropy = d_entropy.unsqueeze(-1) if isinstance(d_entropy, Tensor) else d_entropy
            d_mean = (z * precision).mul_(d_log_prob)
            d_log_std = (z.square() - 1).mul_(d_log_prob).add_(d_entropy)
            return torch.cat([d_mean, d_log_std], -1)

        log_prob, entropy = self.log_prob_entropy(params, actions)
        return log_prob, entropy, pullback
