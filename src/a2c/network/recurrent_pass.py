"""The pass for networks with a memory: backpropagation through the whole rollout, and not beyond its beginning."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from a2c.maths.trees import tree_map
from a2c.network.flat_weights import gradient_of
from a2c.network.memory import cleared
from a2c.network.protocol import RecurrentNetwork
from a2c.rollout import Rollout


class RecurrentPass:
    """A forward and a backward pass over a rollout, by autograd.

    The rollout begins in the state that acting left there. That is a number like any other: no gradient flows to it.

    Args:
        model: the network.
        flat: its weights as one vector, with the gradient (:func:`a2c.network.flat_weights.flatten_parameters`).
    """

    def __init__(self, model: RecurrentNetwork, flat: nn.Parameter) -> None:
        self._model, self._flat = model, flat
        self._outputs: tuple[Tensor, Tensor] | None = None

    def forward(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """As :meth:`a2c.network.passes.Pass.forward`.

        Raises:
            ValueError: the rollout was collected without a memory.
        """
        model, (state, began) = self._model, beginning_of(rollout)
        with torch.enable_grad():
            params, values, after = model.forward(tree_map(lambda part: part[:-1], rollout.obs), state, began[:-1])
        self._outputs = params, values
        # The last row needs no gradient: the backward pass is over T rows, not T+1.
        last = model.value(tree_map(lambda part: part[-1], rollout.obs), cleared(after.detach(), began[-1]))
        return params.detach(), torch.cat([values.detach(), last.detach().unsqueeze(0)])

    def backward(self, d_params: Tensor, d_values: Tensor) -> None:
        """As :meth:`a2c.network.passes.Pass.backward`."""
        assert self._outputs is not None
        gradient_of(self._flat).zero_()
        torch.autograd.backward(self._outputs, (d_params, d_values))
        self._outputs = None


def beginning_of(rollout: Rollout) -> tuple[Tensor, Tensor]:
    """The state ``[N, S]`` in which a rollout begins, and where episodes begin ``[T+1, N]``.

    Raises:
        ValueError: it was collected without a memory.
    """
    if rollout.memory is None or rollout.began is None:
        raise ValueError("a network with a memory learns from rollouts that hold its states, and this one has none")
    return rollout.memory[0], rollout.began
