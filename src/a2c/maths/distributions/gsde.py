"""Generalised state-dependent exploration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from a2c.maths.distributions.pullback import Pullback, columns
from a2c.maths.distributions.spread import HALF_LOG_2PI
from a2c.maths.distributions.standard_noise import normal_pairs

FLOOR = 1e-6  # of the variance, for a state whose features are all 0


@dataclass(frozen=True, slots=True)
class GSDE:
    """D normals whose noise is a linear function of F features of the state: smooth while the function stays.

        a[j] = mean[j] + sum_f latent[f] std[f, j] e[f, j]
        log pi = sum_j log N(a[j]; mean[j], variance[j]),   variance[j] = sum_f latent[f]^2 std[f, j]^2 + 1e-6

    e is standard normal. Holding it for some steps (``hold`` of :class:`a2c.collecting.action_noise.ActionNoise`) makes
    exploration a smooth function of the state; log pi is that of one step alone.

    The parameters are ``[*, D + F + F D]``: mean, latent features, and the free log_std ``[F, D]``, flat.

    Args:
        size: D.
        features: F.
        learn_features: log pi and the entropy have a gradient to the features too. Without it, they are learned for the
            mean alone, and the noise takes them as they are: a bonus for entropy cannot inflate them.

    Source: Raffin et al. 2021, "Smooth exploration for robotic reinforcement learning", section 3.
    """

    size: int
    features: int
    learn_features: bool = False
    action_dtype: ClassVar[torch.dtype] = torch.float32

    @property
    def param_size(self) -> int:
        return self.size + self.features + self.free_size

    @property
    def free_size(self) -> int:
        return self.features * self.size

    @property
    def noise_size(self) -> int:
        """One number for each of e, which are made in pairs."""
        return self.free_size + self.free_size % 2

    @property
    def action_shape(self) -> tuple[int, ...]:
        return (self.size,)

    def noise(self, uniform: Tensor) -> Tensor:
        """e, flat: ``[*, F D]``."""
        return normal_pairs(uniform)[..., : self.free_size]

    def sample(self, params: Tensor, noise: Tensor, out: Tensor | None = None) -> Tensor:
        mean, latent, log_std = self._split(params)
        weights = torch.unflatten(log_std.exp() * noise, -1, (self.features, self.size))
        return torch.add(mean, (latent.unsqueeze(-1) * weights).sum(-2), out=out)

    def mode(self, params: Tensor) -> Tensor:
        return params[..., : self.size]

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        mean, latent, log_std = self._split(params)
        variance = self._terms(latent if self.learn_features else latent.detach(), log_std).sum(-2) + FLOOR
        half_log = 0.5 * torch.log(variance) + HALF_LOG_2PI
        log_prob = -0.5 * (actions - mean).square() / variance - half_log
        return log_prob.sum(-1), (half_log + 0.5).sum(-1)

    def log_prob_entropy_pullback(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Pullback]:
        mean, latent, log_std = self._split(params)
        terms = self._terms(latent, log_std)
        precision = 1 / (terms.sum(-2) + FLOOR)

        def pullback(d_log_prob: Tensor, d_entropy: Tensor | float) -> Tensor:
            # with w = variance:  d log p / d mean = (a - mean) / w;   2 w d log p / d w = (a - mean)^2 / w - 1;
            # 2 w d H / d w = 1;   d w / d log_std[f] = 2 term[f];   d w / d latent[f] = 2 latent[f] std[f]^2
            d_log_prob, d_entropy = columns(d_log_prob, d_entropy)
            off = actions - mean
            twice_d_variance = ((off.square() * precision - 1) * d_log_prob + d_entropy) * precision
            d_log_std = (terms * twice_d_variance.unsqueeze(-2)).flatten(-2)
            d_latent = torch.zeros_like(latent)
            if self.learn_features:
                d_latent = latent * (self._variances(log_std) * twice_d_variance.unsqueeze(-2)).sum(-1)
            return torch.cat([off * precision * d_log_prob, d_latent, d_log_std], -1)

        log_prob, entropy = self.log_prob_entropy(params, actions)
        return log_prob, entropy, pullback

    def _split(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean ``[*, D]``, latent features ``[*, F]`` and log_std ``[*, F D]``."""
        mean, latent, log_std = params.split_with_sizes([self.size, self.features, self.free_size], -1)
        return mean, latent, log_std

    def _terms(self, latent: Tensor, log_std: Tensor) -> Tensor:
        """What each feature adds to the variance of each action: ``[*, F, D]``."""
        return latent.square().unsqueeze(-1) * self._variances(log_std)

    def _variances(self, log_std: Tensor) -> Tensor:
        """``[*, F D]`` -> std^2, ``[*, F, D]``."""
        return torch.unflatten(torch.exp(2 * log_std), -1, (self.features, self.size))
