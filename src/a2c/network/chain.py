"""Linear layers one after the other, forward and backward, in memory of their own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# d_output, output, into -> d_input, for the activations whose gradient follows from their output
PULLBACKS: dict[str, Callable[[Tensor, Tensor, Tensor], Any]] = {
    "tanh": lambda d_out, out, into: torch.ops.aten.tanh_backward.grad_input(d_out, out, grad_input=into),
    "relu": lambda d_out, out, into: torch.ops.aten.threshold_backward.grad_input(d_out, out, 0, grad_input=into),
}
IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh_, "relu": torch.relu_}


class Chain:
    """Linear layers with an activation after each (or each but the last), and memory for a fixed number of rows.

    Args:
        layers: in order.
        norms: of the first layers, between layer and activation; none, or fewer than layers: the rest has none.
        activation: a key of :data:`PULLBACKS`.
        rows: B of the forward pass.
        learned: how many of the first rows the backward pass covers; 0: forward only.
        ends_linear: no activation after the last layer.
        numpy: whether activations on the CPU may use NumPy, whose tanh takes a fifth of the time of the library that
            torch calls on AMD processors; a compiler cannot see through it.
    """

    def __init__(
        self,
        layers: list[nn.Linear],
        norms: list[nn.LayerNorm],
        activation: str,
        rows: int,
        learned: int,
        *,
        ends_linear: bool,
        numpy: bool,
    ) -> None:
        self.layers, self._learned, self._pullback = layers, learned, PULLBACKS[activation]
        self._norms = norms
        like = layers[0].weight.detach()
        self.outputs = [like.new_empty(rows, layer.out_features) for layer in layers]
        self._d_outputs = [like.new_empty(learned, layer.out_features) for layer in layers]
        # Of what the backward pass covers; a compiler must see where views come from.
        self._covered = [output[:learned] for output in self.outputs] if numpy else None
        self._activated = [not ends_linear or layer is not layers[-1] for layer in layers]
        self._activate: list[Callable[[], Any]] = []
        for output, activated in zip(self.outputs, self._activated, strict=True):
            if not activated:
                self._activate.append(_nothing)
            elif numpy and activation == "tanh" and like.device.type == "cpu":
                self._activate.append(partial(np.tanh, output.numpy(), output.numpy()))
            else:
                self._activate.append(partial(IN_PLACE[activation], output))
        # What a layer that is normalised gives to its norm stays apart, for the backward pass.
        self._linear = [torch.empty_like(output) if k < len(norms) else output for k, output in enumerate(self.outputs)]
        self._finish: list[Callable[[], Any]] = []  # from what is linear to the output
        self.weights: list[tuple[Tensor, Tensor, Tensor]] = []
        self._gradients: list[tuple[Tensor, Tensor]] = []
        self._scales: list[Normalizing] = []

    def bind(self, view: Callable[[Tensor], Tensor], view_gradient: Callable[[Tensor], Tensor]) -> None:
        """Look up the memory of the weights and of their gradients, once for many passes."""
        self.weights, self._gradients = [], []
        for layer in self.layers:
            weight = view(layer.weight)
            self.weights.append((view(layer.bias), weight, weight.t()))
            if self._learned:
                self._gradients.append((view_gradient(layer.bias), view_gradient(layer.weight)))
        self._scales = [Normalizing(norm, view, view_gradient if self._learned else None) for norm in self._norms]
        normed = zip(self._scales, self._linear, self.outputs, self._activate, strict=False)
        self._finish = [partial(_normalize, *layer) for layer in normed] + self._activate[len(self._scales) :]

    def forward(self, x: Tensor) -> Tensor:
        """``[B, I]`` -> ``[B, O]``, overwritten by the next call."""
        layers = zip(self.weights, self._linear, self._finish, self.outputs, strict=True)
        for (bias, _, transposed), linear, finish, output in layers:
            torch.addmm(bias, x, transposed, out=linear)
            finish()
            x = output
        return x

    def backward(self, x: Tensor, d_out: Tensor) -> None:
        """Write the gradients of the layers' weights.

        Args:
            x: ``[learned, I]``, the input.
            d_out: ``[learned, O]``, gradient of the output.
        """
        covered = self._covered or [output[: self._learned] for output in self.outputs]
        for k in reversed(range(len(self.layers))):
            if self._activated[k]:
                into = self._d_outputs[k]
                self._pullback(d_out, covered[k], into)
                d_out = into
            if k < len(self._scales):
                d_out = self._scales[k].backward(d_out)
            before = covered[k - 1] if k else x
            d_bias, d_weight = self._gradients[k]
            torch.mm(d_out.t(), before, out=d_weight)
            torch.sum(d_out, 0, out=d_bias)
            if k:  # nothing needs the gradient of the input
                d_out = torch.mm(d_out, self.weights[k][1], out=self._d_outputs[k - 1])


class Normalizing:
    """Layer normalisation, forward and backward.

    Args:
        norm: the layer.
        view, view_gradient: as :meth:`Chain.bind` has them; None: forward only.
    """

    def __init__(
        self,
        norm: nn.LayerNorm,
        view: Callable[[Tensor], Tensor],
        view_gradient: Callable[[Tensor], Tensor] | None,
    ) -> None:
        self._shape, self._epsilon = list(norm.normalized_shape), norm.eps
        self._gain, self._shift = view(norm.weight), view(norm.bias)
        self._gradients = None if view_gradient is None else (view_gradient(norm.weight), view_gradient(norm.bias))
        self._left: tuple[Tensor, Tensor, Tensor] | None = None  # by forward, for backward: input, mean, 1 / deviation

    def forward(self, x: Tensor) -> Tensor:
        """``[B, F]`` -> ``[B, F]``."""
        out, mean, rate = torch.native_layer_norm(x, self._shape, self._gain, self._shift, self._epsilon)
        self._left = None if self._gradients is None else (x, mean, rate)
        return out

    def backward(self, d_out: Tensor) -> Tensor:
        """The gradient of the input, for as many of the first rows as ``d_out`` has; writes that of the weights."""
        assert self._left is not None
        assert self._gradients is not None
        x, mean, rate = (part[: len(d_out)] for part in self._left)
        d_x: Tensor
        d_x, *d_weights = torch.ops.aten.native_layer_norm_backward(
            d_out, x, self._shape, mean, rate, self._gain, self._shift, [True, True, True]
        )
        for gradient, found in zip(self._gradients, d_weights, strict=True):
            gradient.copy_(found)
        return d_x


def _normalize(scale: Normalizing, linear: Tensor, output: Tensor, activate: Callable[[], Any]) -> None:
    output.copy_(scale.forward(linear))
    activate()


def _nothing() -> None:
    pass
