"""The pass for multilayer perceptrons with a memory, in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from a2c.maths.trees import single
from a2c.network import unrolling
from a2c.network.chain import Chain
from a2c.network.flat_weights import gradient_of
from a2c.network.obs_normalizer import as_float
from a2c.network.recurrent import RecurrentActorCritic
from a2c.network.recurrent_pass import beginning_of
from a2c.network.torsos import MLP
from a2c.rollout import Rollout


class RecurrentMLPPass:
    """As :class:`a2c.network.recurrent_pass.RecurrentPass`, but without autograd.

    It goes through all T+1 rows at once: what values the last one is the memory's next step.

    Args:
        model: the network, whose weights and gradients stay where they are.
        steps, count: T and N.
    """

    def __init__(self, model: RecurrentActorCritic, steps: int, count: int) -> None:
        assert isinstance(model.torso, MLP)
        self._model, self._shape, self._learned = model, (steps, count), steps * count
        torso, rows = model.torso, (steps + 1) * count
        self._torso = Chain(
            torso.linears, torso.norms, torso.activation, rows, self._learned, ends_linear=False, numpy=True
        )
        self._torso.bind(Tensor.detach, gradient_of)
        self._left: tuple[Tensor, Tensor, unrolling.Unrolled] | None = None  # by forward, for backward

    def forward(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """As :meth:`a2c.network.passes.Pass.forward`.

        Raises:
            ValueError: the rollout was collected without a memory.
        """
        model, obs, (steps, count) = self._model, single(rollout.obs), self._shape
        state, began = beginning_of(rollout)
        inputs, begins = as_float(model.inputs(obs.flatten(0, 1)).flatten(1)), began.unsqueeze(-1)
        x = unrolling.of_features(model.memory, self._torso.forward(inputs))
        run = unrolling.unroll(model.memory, x.view(steps + 1, count, -1), state, begins)
        self._left, shown = (inputs, begins, run), model.memory.shown(run.states)
        with torch.no_grad():
            params = model.masking.masked(model.policy_head.forward(shown[:-1]), obs[:-1])
            values = torch.addmv(model.value_head.bias, shown.flatten(0, 1), model.value_head.weight[0])
            if model.value_normalizer is not None:
                values = model.value_normalizer.forward(values)
        return params, values.view(steps + 1, count)

    def backward(self, d_params: Tensor, d_values: Tensor) -> None:
        """As :meth:`a2c.network.passes.Pass.backward`."""
        assert self._left is not None
        (inputs, begins, run), self._left = self._left, None
        model, memory = self._model, self._model.memory
        d_params, d_values = d_params.flatten(0, 1), d_values.reshape(-1, 1)
        if model.value_normalizer is not None:
            d_values = d_values * model.value_normalizer.scale
        log_std, head = model.policy_head.log_std, model.policy_head.linear
        if log_std is not None:
            d_params, d_log_std = d_params[:, : -len(log_std)], d_params[:, -len(log_std) :]
            torch.sum(d_log_std, 0, out=gradient_of(log_std))
        learned = unrolling.Unrolled(*(part[:-1] for part in run))
        shown = memory.shown(learned.states).flatten(0, 1)
        for linear, d_out in ((head, d_params), (model.value_head, d_values)):
            torch.mm(d_out.t(), shown, out=gradient_of(linear.weight))
            torch.sum(d_out, 0, out=gradient_of(linear.bias))
        d_shown = torch.mm(d_params, head.weight.detach()).addmm_(d_values, model.value_head.weight.detach())
        d_x = unrolling.backward(memory, learned, begins[:-1], d_shown.view(*self._shape, -1))
        features = self._torso.outputs[-1][: self._learned]
        torch.mm(d_x.t(), features, out=gradient_of(memory.weight_ih))
        self._torso.backward(inputs[: self._learned], torch.mm(d_x, memory.weight_ih.detach()))
