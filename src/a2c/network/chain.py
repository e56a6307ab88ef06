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
        activation: a key of :data:`PULLBACKS`.
        rows: B of the forward pass.
        learned: how many of the first rows the backward pass covers; 0: forward only.
        ends_linear: no activation after the last layer.
        numpy: whether activations on the CPU may use NumPy, whose tanh takes a fifth of the time of the library that
            torch calls on AMD processors; a compiler cannot see through it.
    """

    def __init__(
        self, layers: list[nn.Linear], activation: str, rows: int, learned: int, *, ends_linear: bool, numpy: bool
    ) -> None:
        self.layers, self._learned, self._pullback = layers, learned, PULLBACKS[activation]
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
        self.weights: list[tuple[Tensor, Tensor, Tensor]] = []
        self._gradients: list[tuple[Tensor, Tensor]] = []

    def bind(self, view: Callable[[Tensor], Tensor], view_gradient: Callable[[Tensor], Tensor]) -> None:
        """Look up the memory of the weights and of their gradients, once for many passes."""
        self.weights, self._gradients = [], []
        for layer in self.layers:
            weight = view(layer.weight)
            self.weights.append((view(layer.bias), weight, weight.t()))
            if self._learned:
                self._gradients.append((view_gradient(layer.bias), view_gradient(layer.weight)))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, I]`` -> ``[B, O]``, overwritten by the next call."""
        for (bias, _, transposed), output, activate in zip(self.weights, self.outputs, self._activate, strict=True):
            torch.addmm(bias, x, transposed, out=output)
            activate()
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
            before = covered[k - 1] if k else x
            d_bias, d_weight = self._gradients[k]
            torch.mm(d_out.t(), before, out=d_weight)
            torch.sum(d_out, 0, out=d_bias)
            if k:  # nothing needs the gradient of the input
                d_out = torch.mm(d_out, self.weights[k][1], out=self._d_outputs[k - 1])


def _nothing() -> None:
    pass
