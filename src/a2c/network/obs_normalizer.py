"""Running statistics that put observations on a common scale.

The policy, with these statistics, is frozen within a rollout. They change once per update, from the valid rows of the
rollout that the update learned from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Moments = tuple[Tensor, Tensor, Tensor]  # mean [*obs], population variance [*obs], count []


def as_float(obs: Tensor) -> Tensor:
    """Observations as the network takes them: bytes become [0, 1], floats stay as they are."""
    return obs.to(torch.float32) / 255 if obs.dtype == torch.uint8 else obs


class ObsNormalizer(nn.Module):
    """First layer of the network: ``clip((obs - mean) / std)``, with statistics as buffers.

    The rollout stores raw observations. Acting and learning both normalise them here, so that both see the same
    numbers.

    Statistics are float64: in float32 the mean of a column like 1234567.1 is off by more than the column varies.
    Observations are float32, and stay so: subtracting ``shift``, the mean as the nearest float32, is exact for those
    near it, and what the rounding left out follows, scaled, as ``offset``.

    Args:
        shape: of one observation.
        clip: bound of the normalised observations.
        eps: added to the variance.
    """

    mean: Tensor  # [*obs] float64, as the next two; in checkpoints of version 0.1 they are float32
    var: Tensor  # [*obs]
    count: Tensor  # []
    shift: Tensor  # [*obs] float32, as the next two: what forward() computes with, by refresh()
    scale: Tensor  # [*obs]
    offset: Tensor  # [*obs]

    def __init__(self, shape: tuple[int, ...], clip: float = 10.0, eps: float = 1e-8) -> None:
        super().__init__()
        self.clip, self.eps = clip, eps
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("var", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        for name in ("shift", "scale", "offset"):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float32), persistent=False)
        self.refresh()

    def forward(self, obs: Tensor) -> Tensor:
        """``[*, *obs]`` -> same shape, about unit scale, within ``clip``."""
        return torch.addcmul(self.offset, obs - self.shift, self.scale).clamp(-self.clip, self.clip)

    def update(self, obs: Tensor, weight: Tensor | None = None) -> None:
        """Merge the moments of ``[T, N, *obs]``, without the rows of weight 0."""
        self.merge(*self.moments(obs, weight))

    @torch.no_grad()
    def moments(self, obs: Tensor, weight: Tensor | None = None) -> Moments:
        """Moments of ``[T, N, *obs]``, without the rows of weight 0; one that is not finite if a valid row is not."""
        # A mask of legal actions may follow in the last columns: it is no feature.
        rows = as_float(obs.flatten(0, 1)[..., : self.mean.shape[-1]]).to(self.mean.dtype)
        if weight is None:
            mean = rows.mean(0)
            return mean, (rows - mean).square_().mean(0), torch.full_like(self.count, len(rows))
        # Fill these rows with 0: a boolean index would make the host wait for the size of the result.
        gap = weight.view(-1, *[1] * (rows.ndim - 1)) == 0
        count = (~gap).sum().to(self.count.dtype)
        mean = rows.masked_fill(gap, 0).sum(0) / count.clamp(min=1)
        return mean, (rows - mean).masked_fill(gap, 0).square().sum(0) / count.clamp(min=1), count

    @torch.no_grad()
    def merge(self, mean: Tensor, var: Tensor, count: Tensor, sound: Tensor | None = None) -> None:
        """Merge the moments of ``count`` further observations, in place.

        Args:
            mean, var, count: from :meth:`moments`.
            sound: bool scalar; where False, nothing changes. None: True.

        With s = count / total and d = new mean - mean:

            mean <- mean + s d;   var <- var + s (new var - var) + s (1 - s) d^2

        A column that is constant keeps its mean, and variance 0, exactly.

        Source: Chan et al. 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
        """
        total = self.count + count
        share = count / total.clamp(min=1)
        delta = mean - self.mean
        spread = torch.lerp(self.var, var, share).addcmul_(delta.square_(), share - share.square())
        merged = (torch.lerp(self.mean, mean, share), spread, total)
        for old, new in zip((self.mean, self.var, self.count), merged, strict=True):
            if sound is None:
                old.copy_(new)
            else:
                torch.where(sound, new, old, out=old)
        self.refresh()

    @torch.no_grad()
    def refresh(self) -> None:
        """Derive from the statistics what :meth:`forward` computes with, in place."""
        scale = torch.rsqrt(self.var + self.eps)
        self.shift.copy_(self.mean)
        self.scale.copy_(scale)
        self.offset.copy_((self.shift - self.mean).mul_(scale))

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.refresh()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ObsNormalizer:
        """Move as any module does, but keep the statistics in float64, where there is such a thing: Metal has none."""
        statistics = {name: getattr(self, name) for name in ("mean", "var", "count")}
        for name, tensor in statistics.items():
            setattr(self, name, tensor.float())
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        device = self.shift.device
        for name, tensor in statistics.items():
            setattr(self, name, tensor.to(device, torch.float32 if device.type == "mps" else torch.float64))
        return self
