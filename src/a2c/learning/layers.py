"""A network's layers run as modules, so that each shows what it made of what."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from a2c.network.actor_critic import ActorCritic
from a2c.network.joined import Joined
from a2c.network.memory import unrolled
from a2c.network.obs_normalizer import as_float
from a2c.network.own_torso import OwnTorso
from a2c.network.protocol import Network, remembers
from a2c.network.recurrent import RecurrentActorCritic
from a2c.network.torso_choice import Torso
from a2c.rollout import Rollout


@dataclass(frozen=True, slots=True)
class Layer:
    """One call of a layer."""

    name: str  # like ``torso.1 (Linear)``
    input: Tensor  # [B, *]
    output: Tensor  # [B, *]
    weights: dict[str, Tensor]


def layers_of(model: Network, obs: Any, rollout: Rollout | None = None) -> list[Layer]:
    """The layers of a network in the order of their calls, but for those whose output has no row for each observation.

    Args:
        model: the network; of a user's own with a memory the layers do not show.
        obs: ``[B, *obs]``, a tree.
        rollout: that all these observations are of, for a network with a memory.
    """
    network = cast(nn.Module, model)
    calls: list[Layer] = []
    with contextlib.ExitStack() as hooks:
        for name, module in network.named_modules():
            if not list(module.children()) and module is not model.normalizer:
                hooks.callback(module.register_forward_hook(_recorder(name, calls)).remove)
        if isinstance(network, ActorCritic):
            _run(network, obs)
        elif isinstance(network, RecurrentActorCritic):
            assert rollout is not None
            _run_through(network, obs, rollout, calls)
        elif not remembers(network):
            network(obs)
    return calls


def _run_through(model: RecurrentActorCritic, obs: Tensor, rollout: Rollout, calls: list[Layer]) -> None:
    """As :meth:`RecurrentActorCritic.forward`, over all T+1 rows; the memory is one layer."""
    assert rollout.memory is not None
    assert rollout.began is not None
    with _autocast(model, obs):
        features = _through(model.torso, model.inputs(obs)).float()
    states = unrolled(model.memory, features.view(*rollout.began.shape, -1), rollout.memory[0], rollout.began)
    record = _recorder("memory", calls)
    record(model.memory, (features,), states.flatten(0, 1))
    shown = model.memory.shown(states).flatten(0, 1)
    model.policy_head.linear(shown)
    model.value_head(shown)


def _autocast(model: ActorCritic | RecurrentActorCritic, obs: Tensor) -> torch.autocast:
    return torch.autocast(obs.device.type, torch.bfloat16, enabled=model.precision != "float32")


def _run(model: ActorCritic, obs: Tensor) -> None:
    """As :meth:`ActorCritic.forward`, whose torsos call the layers' functions instead."""
    inputs = model.inputs(obs)
    with _autocast(model, inputs):
        features = _through(model.torso, inputs)
        value_features = features if model.value_torso is None else _through(model.value_torso, inputs)
    model.policy_head.linear(features.float())
    model.value_head(value_features.float())


def _through(torso: Torso, inputs: Tensor) -> Tensor:
    if isinstance(torso, Joined):
        parts = [part if encoder is None else _through(encoder, part) for encoder, part in torso.split(inputs)]
        return _through(torso.joining, torch.cat(parts, -1))
    if isinstance(torso, OwnTorso):
        return torso.forward(inputs)
    features: Tensor = nn.Sequential.forward(torso, as_float(inputs))  # type: ignore[no-untyped-call]
    return features


def _recorder(name: str, calls: list[Layer]) -> Any:
    def record(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        into = given[0] if given else None
        if isinstance(into, Tensor) and isinstance(output, Tensor) and len(into) == len(output):
            weights = {key: param.detach() for key, param in module.named_parameters(recurse=False)}
            calls.append(Layer(f"{name} ({type(module).__name__})", into.detach(), output.detach(), weights))

    return record
