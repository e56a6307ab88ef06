"""Torsos: from observations to features.

They are :class:`torch.nn.Sequential`, so that their layers are where everyone looks for them. Their ``forward`` calls
the layers' functions directly, because at the sizes of acting the modules' bookkeeping costs as much as the arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2c.network.obs_normalizer import as_float

# In place: the layer before no longer needs its output.
ACTIVATIONS: dict[str, tuple[type[nn.Module], Callable[[Tensor], Tensor]]] = {
    "tanh": (nn.Tanh, torch.tanh_),
    "relu": (nn.ReLU, torch.relu_),
    "elu": (nn.ELU, lambda x: F.elu(x, inplace=True)),
    "silu": (nn.SiLU, F.silu),  # its gradient needs its input
}
BYTE = 1 / 255


class MLP(nn.Sequential):
    """Fully connected layers, each with its activation; it flattens observations of any shape first.

    Args:
        sizes: of the flattened observation, then of each layer.
        activation: a key of :data:`ACTIVATIONS`.
        layer_norm: normalise each layer's output before its activation (Ba et al. 2016, "Layer normalization").
    """

    def __init__(self, sizes: list[int], activation: str, layer_norm: bool = False) -> None:
        self.activation, self.layer_norm = activation, layer_norm
        module, self._activate = ACTIVATIONS[activation]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            norm = [nn.LayerNorm(b, dtype=torch.float32)] if layer_norm else []
            layers += [nn.Linear(a, b, dtype=torch.float32), *norm, module()]
        super().__init__(nn.Flatten(), *layers)
        self.linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
        self.norms = [layer for layer in layers if isinstance(layer, nn.LayerNorm)]
        self._weighted = [layer for layer in layers if isinstance(layer, nn.Linear | nn.LayerNorm)]

    def forward(self, obs: Tensor) -> Tensor:
        """``[B, *obs]`` -> ``[B, F]``."""
        return self.run(obs, self.weights_for(obs.dtype))

    def weights_for(self, dtype: torch.dtype) -> list[Tensor]:
        """Weight and bias of every layer in turn; the dtype of observations does not matter."""
        return [tensor for layer in self._weighted for tensor in (layer.weight, layer.bias)]

    def run(self, obs: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """:meth:`forward` with weights like those of :meth:`weights_for`; bfloat16 ones compute in bfloat16."""
        x = as_float(obs.flatten(1))
        if weights and weights[0].dtype is torch.bfloat16:
            x = x.to(torch.bfloat16)
        if self.layer_norm:
            for w, b, gain, shift in zip(*(weights[k::4] for k in range(4)), strict=True):
                x = self._activate(F.layer_norm(F.linear(x, w, b), gain.shape, gain, shift))
            return x
        for weight, bias in zip(weights[::2], weights[1::2], strict=True):
            x = self._activate(F.linear(x, weight, bias))
        return x


class NatureCNN(nn.Sequential):
    """Three convolutions and a layer of 512, for images ``[B, C, H, W]`` of at least 36 pixels a side.

    Instead of the bytes it divides the first layer's weights by 255, which are a thousand times fewer. Images are
    channels last, as are the weights (:class:`a2c.network.actor_critic.ActorCritic`): the CPU's kernels are faster so.

    Source: Mnih et al. 2015, "Human-level control through deep reinforcement learning".
    """

    features = 512

    def __init__(self, channels: int, height: int, width: int) -> None:
        height, width = (((((side - 8) // 4 + 1) - 4) // 2 + 1) - 2 for side in (height, width))
        first, second, third = (
            nn.Conv2d(channels, 32, 8, stride=4, dtype=torch.float32),
            nn.Conv2d(32, 64, 4, stride=2, dtype=torch.float32),
            nn.Conv2d(64, 64, 3, dtype=torch.float32),
        )
        last = nn.Linear(64 * height * width, self.features, dtype=torch.float32)
        super().__init__(first, nn.ReLU(), second, nn.ReLU(), third, nn.ReLU(), nn.Flatten(), last, nn.ReLU())
        self._layers = first, second, third, last

    def forward(self, obs: Tensor) -> Tensor:
        """``[B, C, H, W]`` bytes, or floats on a common scale -> ``[B, 512]``."""
        return self.run(obs, self.weights_for(obs.dtype))

    def weights_for(self, dtype: torch.dtype) -> list[Tensor]:
        """Weight and bias of every layer in turn, for observations of ``dtype``: for bytes the first is scaled."""
        weights: list[Tensor] = []
        for layer in self._layers:
            assert layer.bias is not None
            weights += [layer.weight, layer.bias]
        if dtype == torch.uint8:
            weights[0] = weights[0] * BYTE
        return weights

    def run(self, obs: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """:meth:`forward` with weights like those of :meth:`weights_for`; bfloat16 ones compute in bfloat16."""
        w1, b1, w2, b2, w3, b3, w4, b4 = weights
        x = obs.to(_compute_dtype(obs, w1)).contiguous(memory_format=torch.channels_last)
        x = F.relu(F.conv2d(x, w1, b1, stride=4))
        x = F.relu(F.conv2d(x, w2, b2, stride=2))
        x = F.relu(F.conv2d(x, w3, b3))
        return F.relu(F.linear(x.flatten(1), w4, b4))


def _compute_dtype(obs: Tensor, weight: Tensor) -> torch.dtype:
    """The dtype that the layers compute in: bytes, which are exact in bfloat16 too, go there in one step."""
    if weight.dtype is torch.bfloat16:
        return torch.bfloat16
    if obs.dtype == torch.uint8:
        device = obs.device.type
        return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
    return obs.dtype


class SmallCNN(nn.Sequential):
    """Two convolutions of 3 x 3 and a layer of 128, for images that are too small for :class:`NatureCNN`, and grids.

    It keeps the size of an image of up to 256 cells: in a grid every cell counts. Of larger ones the second convolution
    takes every other cell, or the layer behind it would have millions of weights.

    Bytes of small images are often symbols, such as the ten objects of a grid world, and sometimes brightness up to
    255; layer normalisation behind the first convolution makes their scale no matter, so that nobody has to guess it
    (Ba et al. 2016, "Layer normalization").
    """

    features = 128

    def __init__(self, channels: int, height: int, width: int) -> None:
        self._stride = stride = 1 if height * width <= 256 else 2
        first, second = (
            nn.Conv2d(channels, 32, 3, padding=1, dtype=torch.float32),
            nn.Conv2d(32, 64, 3, stride=stride, padding=1, dtype=torch.float32),
        )
        height, width = (math.ceil(side / stride) for side in (height, width))
        norm = nn.GroupNorm(1, 32, dtype=torch.float32)
        last = nn.Linear(64 * height * width, self.features, dtype=torch.float32)
        super().__init__(first, norm, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), last, nn.ReLU())
        self._layers = first, norm, second, last

    def forward(self, obs: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> ``[B, 128]``."""
        return self.run(obs, self.weights_for(obs.dtype))

    def weights_for(self, dtype: torch.dtype) -> list[Tensor]:
        """Weight and bias of every layer in turn; the dtype of observations does not matter."""
        return [part for layer in self._layers for part in (layer.weight, layer.bias) if part is not None]

    def run(self, obs: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """:meth:`forward` with weights like those of :meth:`weights_for`; bfloat16 ones compute in bfloat16."""
        w1, b1, wn, bn, w2, b2, w3, b3 = weights
        x = obs.to(_compute_dtype(obs, w1)).contiguous(memory_format=torch.channels_last)
        x = F.relu(F.group_norm(F.conv2d(x, w1, b1, padding=1), 1, wn, bn))
        x = F.relu(F.conv2d(x, w2, b2, stride=self._stride, padding=1))
        return F.relu(F.linear(x.flatten(1), w3, b3))
