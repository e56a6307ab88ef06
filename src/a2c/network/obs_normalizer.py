"""Running statistics that put observations on a common scale.

The policy, with these statistics, is frozen within a rollout. They change once per update, from the valid rows of the
rollout that the update learned from.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def as_float(obs: Tensor) -> Tensor:
    """Observations as the network takes them: bytes become [0, 1], floats stay as they are."""
    return obs.to(torch.float32) / 255 if obs.dtype == torch.uint8 else obs


class ObsNormalizer(nn.Module):
    """First layer of the network: ``clip((obs - mean) / std)``, with statistics as buffers.

    The rollout stores raw observations. Acting and learning both normalise them here, so that both see the same
    numbers.

    Args:
        shape: of one observation.
        clip: bound of the normalised observations.
        eps: added to the variance.
    """

    mean: Tensor  # [*obs]
    var: Tensor  # [*obs]
    count: Tensor  # []

    def __init__(self, shape: tuple[int, ...], clip: float = 10.0, eps: float = 1e-8) -> None:
        super().__init__()
        self.clip, self.eps = clip, eps
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float32))
        self.register_buffer("var", torch.ones(shape, dtype=torch.float32))
        self.register_buffer("count", torch.zeros((), dtype=torch.float32))

    def forward(self, obs: Tensor) -> Tensor:
        """``[*, *obs]`` -> same shape, about unit scale, within ``clip``."""
        return ((obs - self.mean) * torch.rsqrt(self.var + self.eps)).clamp(-self.clip, self.clip)

    @torch.no_grad()
    def update(self, obs: Tensor, weight: Tensor | None = None) -> None:
        """Merge the moments of ``[T, N, *obs]``, without the rows of weight 0.

        Source: Chan et al. 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
        """
        rows = as_float(obs.flatten(0, 1))
        if weight is None:
            self.merge(rows.mean(0), rows.var(0, correction=0), torch.full_like(self.count, len(rows)))
            return
        # Fill these rows with 0: a boolean index would make the host wait for the size of the result.
        gap = weight.view(-1, *[1] * (rows.ndim - 1)) == 0
        count = (~gap).sum().to(self.count.dtype)
        mean = rows.masked_fill(gap, 0).sum(0) / count.clamp(min=1)
        var = (rows - mean).masked_fill(gap, 0).square().sum(0) / count.clamp(min=1)
        self.merge(mean, var, count)

    @torch.no_grad()
    def merge(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        """Merge the mean and the population variance ``[*obs]`` of ``count`` further observations."""
        total = (self.count + count).clamp(min=1)
        delta = mean - self.mean
        moment = self.var * self.count + var * count + delta.square() * (self.count * count / total)
        self.mean.add_(delta * (count * total.reciprocal()))
        self.var.copy_(torch.where(count > 0, moment / total, self.var))
        self.count.add_(count)
