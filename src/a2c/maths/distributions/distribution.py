"""The protocol of action distributions."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


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
