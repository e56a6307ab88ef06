"""Passes through the network for learning: forward and backward, in memory of their own.

For a multilayer perceptron at the sizes of a rollout, autograd, modules and the allocator cost several times the
arithmetic. Its passes are therefore written out, and look up weights and memory once; every other network uses its own
``forward`` and autograd. Both give the same numbers; tests compare them.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol, TypeGuard

import torch
from torch import Tensor, nn

from a2c.maths.distributions import GSDE
from a2c.maths.trees import single, tree_map
from a2c.network.actor_critic import ActorCritic
from a2c.network.chain import PULLBACKS, Chain
from a2c.network.flat_weights import gradient_of
from a2c.network.obs_normalizer import as_float
from a2c.network.protocol import Network, remembers
from a2c.network.recurrent import RecurrentActorCritic
from a2c.network.recurrent_mlp_pass import RecurrentMLPPass
from a2c.network.recurrent_pass import RecurrentPass
from a2c.network.torsos import MLP
from a2c.rollout import Rollout


class Pass(Protocol):
    """A forward and a backward pass over a rollout."""

    def forward(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Policy parameters ``[T, N, P]`` and values ``[T+1, N]`` of its observations, both without a graph."""

    def backward(self, d_params: Tensor, d_values: Tensor) -> None:
        """Overwrite the weights' gradients, given those of parameters ``[T, N, P]`` and of values ``[T, N]``."""


class AutogradPass:
    """The pass for any network, by autograd.

    Args:
        model: the network.
        flat: its weights as one vector, with the gradient (:func:`a2c.network.flat_weights.flatten_parameters`).
        compiled: compile forward and backward at the first call.
    """

    def __init__(self, model: Network, flat: nn.Parameter, *, compiled: bool = False) -> None:
        self._model, self._flat = model, flat
        self._forward = torch.compile(model.forward, dynamic=False) if compiled else model.forward
        self._outputs: tuple[Tensor, Tensor] | None = None

    def forward(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        steps, count = rollout.rewards.shape
        with torch.enable_grad():
            outputs = self._forward(tree_map(lambda part: part[:-1].flatten(0, 1), rollout.obs))
        self._outputs = params, values = outputs
        # The last row needs no gradient: the backward pass is over T rows, not T+1.
        last = self._model.value(tree_map(lambda part: part[-1], rollout.obs))
        values = torch.cat([values.detach(), last.detach()])
        return params.detach().view(steps, count, -1), values.view(steps + 1, count)

    def backward(self, d_params: Tensor, d_values: Tensor) -> None:
        assert self._outputs is not None
        gradient_of(self._flat).zero_()
        torch.autograd.backward(self._outputs, (d_params.flatten(0, 1), d_values.flatten()))
        self._outputs = None


class MLPPass:
    """The pass for multilayer perceptrons, in closed form.

    Args:
        model: the network.
        flat: its weights as one vector, with the gradient (:func:`a2c.network.flat_weights.flatten_parameters`).
        steps, count: T and N.
        compiled: the caller compiles this pass, which then looks up the weights within :meth:`forward`, so that the
            compiler sees which tensors share memory.
    """

    def __init__(
        self, model: ActorCritic, flat: nn.Parameter, steps: int, count: int, *, compiled: bool = False
    ) -> None:
        assert isinstance(model.torso, MLP)
        self._model, self._flat, self._shape, self._compiled = model, flat, (steps, count), compiled
        self._learned = learned = steps * count
        kind, rows = model.torso.activation, (steps + 1) * count
        policy_head, value_head = model.policy_head.linear, model.value_head
        self._torso: Chain | None = None
        if isinstance(model.value_torso, MLP):
            policy, value = [*model.torso.linears, policy_head], [*model.value_torso.linears, value_head]
            norms, value_norms = model.torso.norms, model.value_torso.norms
        else:
            linears, norms = model.torso.linears, model.torso.norms
            self._torso = Chain(linears, norms, kind, rows, learned, ends_linear=False, numpy=not compiled)
            policy, value, norms, value_norms = [policy_head], [value_head], [], []
        self._policy = Chain(policy, norms, kind, learned, learned, ends_linear=True, numpy=not compiled)
        self._value = Chain(value, value_norms, kind, rows, learned, ends_linear=True, numpy=not compiled)
        self._inputs = self._log_std = self._d_log_std = torch.empty(0, dtype=torch.float32)
        # Where each weight is in the vector: looked up here, because a compiler cannot.
        self._spans = {id(param): (param.shape, param.storage_offset()) for param in model.parameters()}
        if not compiled:
            self._bind()

    def _bind(self) -> None:
        flat, gradient, spans = self._flat.detach(), gradient_of(self._flat), self._spans

        def view_of(vector: Tensor, param: Tensor) -> Tensor:
            shape, start = spans[id(param)]
            return vector[start : start + shape.numel()].view(shape)

        view, view_gradient = partial(view_of, flat), partial(view_of, gradient)
        for chain in (self._policy, self._value, self._torso):
            if chain is not None:
                chain.bind(view, view_gradient)
        if self._model.policy_head.log_std is not None:
            self._log_std = view(self._model.policy_head.log_std)
            self._d_log_std = view_gradient(self._model.policy_head.log_std)

    def forward(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        if self._compiled:
            self._bind()
        steps, count = self._shape
        obs = single(rollout.obs)
        features = as_float(self._model.inputs(obs.flatten(0, 1)).flatten(1))
        self._inputs = features[: self._learned]
        if self._torso is not None:
            features = self._torso.forward(features)
        params = self._policy.forward(features[: self._learned])
        if self._log_std.numel():
            params = torch.cat([params, self._log_std.expand(*params.shape[:-1], -1)], -1)
        if self._model.masking.columns:
            params = self._model.masking.masked(params, obs[:-1].flatten(0, 1))
        values = self._value.forward(features).view(steps + 1, count)
        normalizer = self._model.value_normalizer
        return params.view(steps, count, -1), values if normalizer is None else normalizer.forward(values)

    def backward(self, d_params: Tensor, d_values: Tensor) -> None:
        d_params, d_values = d_params.flatten(0, 1), d_values.reshape(self._learned, 1)
        if self._model.value_normalizer is not None:
            d_values = d_values * self._model.value_normalizer.scale
        if self._log_std.numel():
            free = self._log_std.numel()
            d_params, d_log_std = d_params[:, :-free], d_params[:, -free:]
            torch.sum(d_log_std, 0, out=self._d_log_std)
        features = self._inputs if self._torso is None else self._torso.outputs[-1][: self._learned]
        self._policy.backward(features, d_params)
        self._value.backward(features, d_values)
        if self._torso is not None:
            d_features = torch.mm(d_params, self._policy.weights[0][1]).addmm_(d_values, self._value.weights[0][1])
            self._torso.backward(self._inputs, d_features)


def pass_over(model: Network, flat: nn.Parameter, steps: int, count: int, *, compiled: bool = False) -> Pass:
    """The fastest pass for this network; with ``compiled``, one that the caller can compile or that compiles itself.

    A network with a memory is not compiled: the compiler would write out every step of the rollout.
    """
    if remembers(model):
        if isinstance(model, RecurrentActorCritic) and torso_written_out(model):
            return RecurrentMLPPass(model, steps, count)
        return RecurrentPass(model, flat)
    if written_out(model):
        return MLPPass(model, flat, steps, count, compiled=compiled)
    return AutogradPass(model, flat, compiled=compiled)


def written_out(model: Network) -> TypeGuard[ActorCritic]:
    """Whether the written-out passes serve this network: our multilayer perceptron, in float32, with tanh or relu."""
    return isinstance(model, ActorCritic) and torso_written_out(model)


def torso_written_out(model: ActorCritic | RecurrentActorCritic) -> bool:
    """Whether that holds of the torso, and whether the parameters of the policy come from one linear layer."""
    if not isinstance(model.torso, MLP) or isinstance(model.distribution, GSDE):  # whose parameters hold the features
        return False
    return bool(model.torso.linears) and model.torso.activation in PULLBACKS and model.precision == "float32"
