"""The policy alone, for acting: what can be prepared once is not done at every step.

The weights are frozen within a rollout, so whatever depends on them alone is prepared when it begins, in memory that
stays where it is: a CUDA graph reads it there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from a2c.network.actor_critic import ActorCritic
from a2c.network.chain import Chain
from a2c.network.memory import cleared
from a2c.network.obs_normalizer import as_float
from a2c.network.passes import written_out
from a2c.network.protocol import Network, RecurrentNetwork, remembers
from a2c.network.torso_choice import castable
from a2c.network.torsos import MLP

Recollection = tuple[Any, Tensor, Tensor, Tensor]  # observations, began [rows], states before and after [rows, S]
# [rows, *obs] a tree, or a Recollection where the network has a memory -> parameters [rows, P], which the next call
# overwrites
PolicyFunction = Callable[[Any], Tensor]


class ActingPolicy(Protocol):
    """A policy that is prepared for each rollout."""

    def begin(self) -> PolicyFunction:
        """Prepare for a rollout, for which the weights stay as they are; returns the policy."""


def policy_of(model: Network, rows: int) -> ActingPolicy:
    """The quickest policy of this network for ``rows`` observations at a time."""
    if remembers(model):
        return RememberingPolicy(model)
    if written_out(model):
        return WrittenOutPolicy(model, rows)
    if isinstance(model, ActorCritic) and model.precision == "bf16" and castable(model.torso):
        return CastPolicy(model)
    return PlainPolicy(model)


class PlainPolicy:
    """The network's own policy: there is nothing to prepare."""

    def __init__(self, model: Network) -> None:
        self._model = model

    def begin(self) -> PolicyFunction:
        return self._model.policy


class RememberingPolicy:
    """The policy of a network with a memory, which writes down the state that a step leaves."""

    def __init__(self, model: RecurrentNetwork) -> None:
        self._model = model

    def begin(self) -> PolicyFunction:
        return self._policy

    def _policy(self, step: Recollection) -> Tensor:
        obs, began, before, after = step
        params, state = self._model.policy(obs, cleared(before, began))
        after.copy_(state)
        return params


class WrittenOutPolicy:
    """The policy of our multilayer perceptron, whose layers write to memory of their own.

    Args:
        model: for which :func:`a2c.network.passes.written_out` is true.
        rows: observations at a time.
    """

    def __init__(self, model: ActorCritic, rows: int) -> None:
        assert isinstance(model.torso, MLP)
        self._model = model
        torso, layers = model.torso, [*model.torso.linears, model.policy_head.linear]
        self._chain = Chain(layers, torso.norms, torso.activation, rows, 0, ends_linear=True, numpy=True)
        vectors = model.spaces.obs_dtype != "uint8" and len(model.spaces.obs_shape) == 1
        self._bare = (
            model.policy_head.log_std is None and model.normalizer is None and vectors and not model.spaces.mask
        )
        self._parameters = [part for layer in layers for part in layer.parameters()]
        self._parameters += [part for norm in torso.norms for part in norm.parameters()]
        self._places: list[int] = []  # addresses of what the chain is bound to

    def begin(self) -> PolicyFunction:
        places = [part.data_ptr() for part in self._parameters]
        if places != self._places:  # the weights have moved
            self._chain.bind(Tensor.detach, Tensor.detach)
            self._places = places
        return self._chain.forward if self._bare else self._policy

    def _policy(self, obs: Tensor) -> Tensor:
        model = self._model
        params = model.policy_head.with_spread(self._chain.forward(as_float(model.inputs(obs).flatten(1))))
        return model.masking.masked(params, obs)


class CastPolicy:
    """The policy of a network in bfloat16: its torso's weights are cast once a rollout, not at every step.

    Autocast, which the update uses, would cast them in every forward pass; the numbers are the same.

    Args:
        model: with ``precision="bf16"``.
    """

    def __init__(self, model: ActorCritic) -> None:
        self._model = model
        bytes_in = model.spaces.obs_dtype == "uint8" and model.normalizer is None
        self._dtype = torch.uint8 if bytes_in else torch.float32  # of the torso's input
        self._weights = [torch.empty_like(weight, dtype=torch.bfloat16) for weight in self._exact()]

    def begin(self) -> PolicyFunction:
        for cast, weight in zip(self._weights, self._exact(), strict=True):
            cast.copy_(weight)
        return self._policy

    @torch.no_grad()
    def _exact(self) -> list[Tensor]:
        return [weight.detach() for weight in self._model.torso.weights_for(self._dtype)]

    def _policy(self, obs: Tensor) -> Tensor:
        model = self._model
        features = model.torso.run(model.inputs(obs), self._weights)
        return model.masking.masked(model.policy_head.forward(features.float()), obs)
