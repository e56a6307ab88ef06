"""Running statistics of the value's targets, by which the value head works on a common scale.

The head computes in standardised units, V = mean + scale * head(features), and everybody outside sees V. When the
statistics move, the head is rescaled so that no V changes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SLOWEST = 1e-3  # weight of the latest rollout among all that came before, once there are a thousand
LEAST = 1e-4  # of the scale: targets that do not vary


class ValueNormalizer(nn.Module):
    """Mean and deviation of returns, and the value head that they go with.

    It begins with mean 0 and deviation 1, which count as one rollout.

    Source: van Hasselt et al. 2016, "Learning values across many orders of magnitude" (Pop-Art), algorithm 1; the
    least scale is that of Hessel et al. 2019.
    """

    mean: Tensor  # [], as the next two
    var: Tensor
    count: Tensor  # of rollouts

    def __init__(self) -> None:
        super().__init__()
        for name, value in (("mean", 0.0), ("var", 1.0), ("count", 1.0)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32))

    @property
    def scale(self) -> Tensor:
        """The deviation, a scalar."""
        return self.var.sqrt().clamp(min=LEAST)

    def forward(self, standardised: Tensor) -> Tensor:
        """Outputs of the value head ``[*]`` -> V ``[*]``."""
        return torch.addcmul(self.mean, standardised, self.scale)

    @torch.no_grad()
    def merge(self, mean: Tensor, var: Tensor, head: nn.Linear, sound: Tensor | None = None) -> None:
        """Take in the returns of a rollout, and rescale the head, in place.

        Args:
            mean, var: of the returns, scalars.
            head: the value head.
            sound: bool scalar; where False, nothing changes. None: True.

        With s = max(1 / (count + 1), SLOWEST), d = new mean - mean, and sigma the scale before and after:

            mean' = mean + s d;   var' = var + s (new var - var) + s (1 - s) d^2
            weight' = weight sigma / sigma';   bias' = (bias sigma + mean - mean') / sigma'
        """
        share = (1 / (self.count + 1)).clamp(min=SLOWEST)
        delta, before = mean - self.mean, self.scale
        var = torch.lerp(self.var, var, share) + delta.square() * (share - share.square())
        mean = torch.lerp(self.mean, mean, share)
        after = var.sqrt().clamp(min=LEAST)
        merged = (
            (self.mean, mean),
            (self.var, var),
            (self.count, self.count + 1),
            (head.weight, head.weight * (before / after)),
            (head.bias, (head.bias * before + self.mean - mean) / after),
        )
        for old, new in [(old, new if sound is None else torch.where(sound, new, old)) for old, new in merged]:
            old.copy_(new)
