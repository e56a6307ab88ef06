"""The torso for observations that hold images beside numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from a2c.envs.converting.observations import ObsPart
from a2c.network.torsos import MLP, NatureCNN, SmallCNN


class Joined(nn.Module):
    """An encoder for each image; their features and all other numbers, joined, go through a layer of 128.

    Its activation is that of the encoders: what comes out of them grows in training, and would saturate a tanh.

    Args:
        parts: of the observation vector, in order.
        encoders: of its images, in order.
    """

    features = 128

    def __init__(self, parts: tuple[ObsPart, ...], encoders: Sequence[NatureCNN | SmallCNN]) -> None:
        super().__init__()
        self._shapes = [shape for _, shape in parts]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self.encoders, self._encoders = nn.ModuleList(encoders), list(encoders)
        numbers = sum(math.prod(shape) for shape in self._shapes if len(shape) != 3)
        self.joining = MLP([numbers + sum(encoder.features for encoder in encoders), self.features], "relu")

    def forward(self, obs: Tensor) -> Tensor:
        """``[B, D]`` -> ``[B, F]``."""
        return self.run(obs, self.weights_for(obs.dtype))

    def weights_for(self, dtype: torch.dtype) -> list[Tensor]:
        """The weights of each encoder in turn, then those of the last layer."""
        return [weight for torso in (*self._encoders, self.joining) for weight in torso.weights_for(dtype)]

    def run(self, obs: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """:meth:`forward` with weights like those of :meth:`weights_for`; bfloat16 ones compute in bfloat16."""
        left = iter(weights)
        joined: list[Tensor] = []
        for encoder, columns in self.split(obs):
            if encoder is not None:
                columns = encoder.run(columns, list(itertools.islice(left, len(list(encoder.parameters())))))
            joined.append(columns)
        return self.joining.run(torch.cat(joined, -1), list(left))

    def split(self, obs: Tensor) -> Iterator[tuple[NatureCNN | SmallCNN | None, Tensor]]:
        """The parts of observations ``[B, D]``: images ``[B, C, H, W]`` with their encoders, all else ``[B, size]``."""
        encoders = iter(self._encoders)
        for columns, shape in zip(torch.split(obs, self._sizes, -1), self._shapes, strict=True):
            yield (next(encoders), columns.reshape(-1, *shape)) if len(shape) == 3 else (None, columns)
