"""Where an update first went wrong: every stage of it, in order, looked at number by number.

The stages are those of :meth:`a2c.learning.learner.Learner.update`, computed by the same functions. Layers are run as
modules, one after the other, so that each shows its output.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from a2c.learning.coefficients import Schedules
from a2c.learning.layers import Layer, layers_of
from a2c.maths.distributions import pullback_of
from a2c.maths.losses import loss_gradients, standardize, value_losses
from a2c.maths.returns import lambda_returns, successor_values
from a2c.maths.trees import tree_map
from a2c.network.actor_critic import ActorCritic
from a2c.network.flat_weights import gradient_of
from a2c.network.obs_normalizer import as_float
from a2c.network.own_module import OwnModule, OwnRecurrentModule
from a2c.network.passes import pass_over
from a2c.network.protocol import Network
from a2c.network.recurrent import RecurrentActorCritic
from a2c.network.value_normalizer import ValueNormalizer
from a2c.rollout import Rollout
from a2c.settings.config import Config

Index = tuple[int, ...]
Sources = Callable[[Index], list[tuple[str, float]]]  # what the number at an index was computed from


@dataclass(frozen=True, slots=True)
class Stage:
    """Numbers that an update computes, or begins with."""

    name: str
    values: Tensor
    sources: Sources
    backwards: bool = False  # in time: the last row is computed first


@dataclass(frozen=True, slots=True)
class Found:
    """A number that is not finite."""

    stage: str
    index: Index  # (t, environment, ...) but for weights and gradients
    value: float
    sources: list[tuple[str, float]]

    def __str__(self) -> str:
        came = ", ".join(f"{name} = {value:g}" for name, value in self.sources)
        return f"{spelled(self.stage, self.index)} = {self.value:g}{f', from {came}' if came else ''}"


def first_number(
    model: Network, flat: nn.Parameter, cfg: Config, rollout: Rollout, env_steps: int
) -> tuple[Found | None, list[str]]:
    """Find the first number of an update that is not finite.

    Args:
        model: the network, before the update.
        flat: its weights as one vector; their gradient is overwritten.
        cfg: the settings.
        rollout: that the update learned from.
        env_steps: before it.

    Returns:
        The number, or None, and the names of the stages before it, whose numbers are all finite.
    """
    sound: list[str] = []
    for stage in stages(model, flat, cfg, rollout, env_steps):
        found = _first(stage)
        if found is not None:
            return found, sound
        sound.append(stage.name)
    return None, sound


def stages(model: Network, flat: nn.Parameter, cfg: Config, rollout: Rollout, env_steps: int) -> Iterator[Stage]:
    """The stages of an update in order; arguments as for :func:`first_number`."""
    yield from _given(model, rollout)
    with torch.no_grad():
        yield from _network(model, rollout)
        steps, count = rollout.rewards.shape
        update = pass_over(model, flat, steps, count)
    params, all_values = update.forward(rollout)
    values, following = all_values[:-1], all_values[1:]
    yield Stage("policy parameters", params, _nothing)
    yield Stage("values", all_values, _nothing)

    log_probs, entropies, pullback = pullback_of(model.distribution)(params, rollout.actions)
    of_params = _spread("policy parameters", params)
    yield Stage("log-probabilities", log_probs, lambda at: [*of_params(at), ("action", _peak(rollout.actions[at]))])
    yield Stage("entropies", entropies, of_params)

    next_values = successor_values(following, rollout.final_values, rollout.terminated, rollout.truncated)
    done = rollout.terminated | rollout.truncated
    now = Schedules(cfg).at(env_steps)
    returns = lambda_returns(rollout.rewards, next_values, done, cfg.gamma, now.gae_lambda)

    def of_return(at: Index) -> list[tuple[str, float]]:
        t, env = at
        parts = [_at("rewards", rollout.rewards, at), _at("next values", next_values, at)]
        ends = bool(done[at]) or t == len(returns) - 1
        return parts if ends else [*parts, _at("returns", returns, (t + 1, env))]

    yield Stage("next values", next_values, _nothing)
    yield Stage("returns", returns, of_return, backwards=True)

    residuals = advantages = returns - values
    yield Stage("advantages", residuals, _both("returns", returns, "values", values))
    if cfg.normalize_advantage:
        advantages = standardize(residuals, rollout.weight)
        yield Stage("standardised advantages", advantages, _one("advantages", residuals))
    of_policy = _both("log-probabilities", log_probs, "advantages", advantages)
    yield Stage("policy loss", -log_probs * advantages, of_policy)
    normalizer: ValueNormalizer | None = getattr(model, "value_normalizer", None)
    of_value: dict[str, Any] = {
        "huber": cfg.value_loss == "huber",
        "scale": None if normalizer is None else normalizer.scale,
    }
    yield Stage("value loss", value_losses(residuals.double(), **of_value), _one("advantages", residuals))

    d_log_probs, d_entropies, d_values = loss_gradients(
        values, returns, advantages, value_coef=now.value_coef, beta=now.beta, weight=rollout.weight, **of_value
    )
    d_params = pullback(d_log_probs, d_entropies)
    yield Stage("gradient of the values", d_values, _both("returns", returns, "values", values))
    yield Stage("gradient of the policy parameters", d_params, lambda at: [_at("advantages", advantages, at[:2])])
    update.backward(d_params, d_values)
    outputs = [("gradient of the values, largest", _peak(d_values)), ("of the policy parameters", _peak(d_params))]
    named = dict(model.named_parameters()) if isinstance(model, nn.Module) else {}
    for name, param in named.items():
        assert param.grad is not None
        yield Stage(f"gradient of {name}", param.grad, lambda at: outputs)
    norm = torch.linalg.vector_norm(gradient_of(flat))
    largest = max(
        ((name, _peak(param.grad)) for name, param in named.items() if param.grad is not None),
        key=lambda pair: pair[1],
        default=("", 0.0),
    )
    yield Stage("gradient norm", norm, lambda at: [(f"gradient of {largest[0]}, largest", largest[1])])
    if cfg.max_grad_norm is None:
        yield Stage("square of the gradient norm", norm.square(), lambda at: [("gradient norm", float(norm))])


def spelled(name: str, index: Index) -> str:
    """``returns[3, 7]``; a scalar by its name alone."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def _given(model: Network, rollout: Rollout) -> Iterator[Stage]:
    """What the update begins with."""
    if isinstance(model, nn.Module):
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            yield Stage(name, tensor.detach(), _nothing)
    parts: list[tuple[str, Tensor]] = []
    _named("observations", rollout.obs, parts)
    counts = rollout.truncated & ~rollout.terminated  # elsewhere final values may be anything
    final_values = rollout.final_values.masked_fill(~counts, 0.0)
    parts += [("rewards", rollout.rewards), ("final values", final_values), ("actions", rollout.actions)]
    parts += [] if rollout.memory is None else [("memory at the beginning", rollout.memory[0])]
    for name, part in parts:
        if part.is_floating_point():
            yield Stage(name, part, _nothing)


def _network(model: Network, rollout: Rollout) -> Iterator[Stage]:
    """The layers' outputs ``[T+1, N, *]``."""
    steps, count = rollout.rewards.shape
    flat_obs = tree_map(lambda part: part.flatten(0, 1), rollout.obs)
    normalizer = model.normalizer
    ours = ActorCritic | RecurrentActorCritic | OwnModule | OwnRecurrentModule
    if isinstance(model, ours) and normalizer is not None:
        obs = as_float(flat_obs)
        normalised = model.inputs(flat_obs).view(steps + 1, count, *obs.shape[1:])
        rows = obs.view_as(normalised)

        def of_obs(at: Index) -> list[tuple[str, float]]:
            here = at[2:]
            return [
                _at("observations", rows, at),
                _at("mean", normalizer.mean, here),
                _at("variance", normalizer.var, here),
            ]

        yield Stage("normalised observations", normalised, of_obs)
    for layer in layers_of(model, flat_obs, rollout):
        yield Stage(layer.name, layer.output.view(steps + 1, count, *layer.output.shape[1:]), _of_layer(layer, count))


def _of_layer(layer: Layer, count: int) -> Sources:
    def sources(at: Index) -> list[tuple[str, float]]:
        row = at[0] * count + at[1]
        found = [("its input, largest", _peak(layer.input[row]))]
        return [*found, *((f"its {name}, largest", _peak(param)) for name, param in layer.weights.items())]

    return sources


def _first(stage: Stage) -> Found | None:
    values = stage.values.detach()
    bad = ~values.isfinite()
    if not bad.any():
        return None
    places = bad.nonzero()
    place = places[places[:, 0] == places[:, 0].max()][0] if stage.backwards else places[0]
    index = tuple(int(i) for i in place)
    return Found(stage.name, index, float(values[index]), stage.sources(index))


def _named(name: str, tree: Any, into: list[tuple[str, Tensor]]) -> None:
    if isinstance(tree, dict | tuple):
        for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
            _named(f"{name}.{key}", part, into)
    else:
        into.append((name, tree))


def _peak(values: Tensor) -> float:
    """The number of the largest magnitude; NaN or infinity if there is one."""
    flat = values.detach().double().flatten()
    with contextlib.suppress(IndexError):
        return float(flat[(~flat.isfinite()).nonzero()[0, 0]])
    return float(flat[flat.abs().argmax()]) if flat.numel() else 0.0


def _at(name: str, values: Tensor, index: Index) -> tuple[str, float]:
    return spelled(name, index), float(values[index])


def _one(name: str, values: Tensor) -> Sources:
    return lambda at: [_at(name, values, at)]


def _both(name: str, values: Tensor, other: str, others: Tensor) -> Sources:
    return lambda at: [_at(name, values, at), _at(other, others, at)]


def _spread(name: str, values: Tensor) -> Sources:
    return lambda at: [(f"{spelled(name, at)}, largest", _peak(values[at]))]


def _nothing(at: Index) -> list[tuple[str, float]]:
    return []
