"""A network's layers run as modules, so that each shows what it made of what."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from a2c.network.actor_critic import ActorCritic
from a2c.network.obs_normalizer import as_float
from a2c.network.protocol import Network


@dataclass(frozen=True, slots=True)
class Layer:
    """One call of a layer."""

    name: str  # like ``torso.1 (Linear)``
    input: Tensor  # [B, *]
    output: Tensor  # [B, *]
    weights: dict[str, Tensor]


def layers_of(model: Network, obs: Any) -> list[Layer]:
    """The layers of a network in the order of their calls, but for those whose output has no row for each observation.

    Args:
        model: the network.
        obs: ``[B, *obs]``, a tree.
    """
    network = cast(nn.Module, model)
    calls: list[Layer] = []
    with contextlib.ExitStack() as hooks:
        for name, module in network.named_modules():
            if not list(module.children()) and module is not model.normalizer:
                hooks.callback(module.register_forward_hook(_recorder(name, calls)).remove)
        if isinstance(network, ActorCritic):
            _run(network, obs)
        else:
            network(obs)
    return calls


def _run(model: ActorCritic, obs: Tensor) -> None:
    """As :meth:`ActorCritic.forward`, whose torsos call the layers' functions instead."""
    inputs = as_float(model.inputs(obs))
    mixed = model.precision != "float32"
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=mixed):
        features = _through(model.torso, inputs)
        value_features = features if model.value_torso is None else _through(model.value_torso, inputs)
    model.policy_head.linear(features.float())
    model.value_head(value_features.float())


def _through(torso: nn.Sequential, inputs: Tensor) -> Tensor:
    features: Tensor = nn.Sequential.forward(torso, inputs)  # type: ignore[no-untyped-call]
    return features


def _recorder(name: str, calls: list[Layer]) -> Any:
    def record(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        into = given[0] if given else None
        if isinstance(into, Tensor) and isinstance(output, Tensor) and len(into) == len(output):
            weights = {key: param.detach() for key, param in module.named_parameters(recurse=False)}
            calls.append(Layer(f"{name} ({type(module).__name__})", into.detach(), output.detach(), weights))

    return record
