"""The torso for observations of several parts, such as images beside numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from a2c.envs.converting.observations import ObsPart
from a2c.network.own_torso import OwnTorso
from a2c.network.torsos import MLP, NatureCNN, SmallCNN

Encoder = NatureCNN | SmallCNN | OwnTorso


class Joined(nn.Module):
    """Encoders for some parts; their features and all other numbers, joined, go through a layer of 128.

    Its activation is that of the encoders: what comes out of them grows in training, and would saturate a tanh.

    Args:
        parts: of the observation vector, in order.
        encoders: of its images, and of other parts for which there is one, by name.

    Attributes:
        all: the encoders, in the order of the parts.
    """

    features = 128

    def __init__(self, parts: tuple[ObsPart, ...], encoders: Mapping[str, Encoder]) -> None:
        super().__init__()
        self._shapes = [shape for _, shape in parts]
        self._sizes = [math.prod(shape) for shape in self._shapes]
        self._encoder_of = [encoders.get(name) for name, _ in parts]  # None: the numbers themselves
        self.all = [encoder for encoder in self._encoder_of if encoder is not None]
        self.encoders = nn.ModuleList(self.all)
        sized = zip(self._sizes, self._encoder_of, strict=True)
        inputs = sum(size if encoder is None else encoder.features for size, encoder in sized)
        self.joining = MLP([inputs, self.features], "relu")

    def forward(self, obs: Tensor) -> Tensor:
        """``[B, D]`` -> ``[B, F]``."""
        return self.run(obs, self.weights_for(obs.dtype))

    def weights_for(self, dtype: torch.dtype) -> list[Tensor]:
        """The weights of each encoder in turn, then those of the last layer."""
        return [weight for torso in (*self.all, self.joining) for weight in torso.weights_for(dtype)]

    def run(self, obs: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """:meth:`forward` with weights like those of :meth:`weights_for`; bfloat16 ones compute in bfloat16."""
        left = iter(weights)
        joined: list[Tensor] = []
        for encoder, columns in self.split(obs):
            if encoder is not None:
                columns = encoder.run(columns, list(itertools.islice(left, len(list(encoder.parameters())))))
            joined.append(columns)
        return self.joining.run(torch.cat(joined, -1), list(left))

    def split(self, obs: Tensor) -> Iterator[tuple[Encoder | None, Tensor]]:
        """The parts of observations ``[B, D]``: ``[B, *shape]`` with their encoders, all else ``[B, size]``."""
        parts = zip(torch.split(obs, self._sizes, -1), self._shapes, self._encoder_of, strict=True)
        for columns, shape, encoder in parts:
            yield (None, columns) if encoder is None else (encoder, columns.reshape(-1, *shape))
