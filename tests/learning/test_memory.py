"""Learning through a memory is what one environment after the other, one step after the other, would learn."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from a2c.envs.spaces import Spaces
from a2c.learning.first_number import first_number
from a2c.learning.layers import layers_of
from a2c.learning.learner import Learner
from a2c.network.flat_weights import flatten_parameters, gradient_of
from a2c.network.passes import pass_over
from a2c.network.recurrent_pass import RecurrentPass
from a2c.rollout import Rollout, columns
from a2c.settings.config import Config
from builders import TORQUE, VECTOR, config, gradient, make_model, random_rollout, relative_error
from memory_reference import Naive, naive_a2c

T, N = 9, 5
KINDS = pytest.mark.parametrize("kind", ["lstm", "gru"])
SPACES = pytest.mark.parametrize("spaces", [VECTOR, TORQUE], ids=["discrete", "continuous"])


def settings(kind: str, **changes: Any) -> Config:
    small = {"memory": kind, "memory_size": 4, "hidden_sizes": [6]}
    return config(network=small, gamma=0.9, gae_lambda=0.8, beta=0.02, **changes)


def experience(spaces: Spaces, cfg: Config, seed: int, began: Tensor | None = None) -> tuple[Any, Rollout, Naive]:
    """A network, a rollout of episodes that end in every way, and what the naive reference makes of it, in float64."""
    model = make_model(spaces, cfg, torch.float64, spread=0.3)
    rollout, final_obs = random_rollout(model, T, N, seed=seed)
    if began is not None:
        rollout.began = began
    naive = naive_a2c(model, rollout, final_obs, cfg)
    return model, dataclasses.replace(rollout, final_values=naive.final_values), naive


@SPACES
@KINDS
@pytest.mark.parametrize("seed", range(5))
def test_values_and_gradient_are_those_of_one_environment_at_a_time(kind: str, spaces: Spaces, seed: int) -> None:
    cfg = settings(kind)
    model, rollout, naive = experience(spaces, cfg, seed)
    assert rollout.began is not None
    ends = (rollout.terminated.any(0) & rollout.truncated.any(0)).any()
    assert ends
    assert rollout.began[0].any()
    assert not rollout.began[0].all()  # some begin in the state that the rollout before left
    assert relative_error(gradient(model, rollout, cfg), naive.gradient) < 1e-10
    params, values = pass_over(model, flatten_parameters(model), T, N).forward(rollout)
    assert_close(params, naive.params, rtol=1e-10, atol=1e-12)
    assert_close(values, naive.values, rtol=1e-10, atol=1e-12)


@SPACES
@KINDS
def test_the_written_out_pass_is_that_of_autograd_with_values_on_a_scale_of_their_own(
    kind: str, spaces: Spaces
) -> None:
    model = make_model(spaces, settings(kind, normalize_value=True), torch.float64, spread=0.3)
    model.value_normalizer.mean.fill_(3.0)
    model.value_normalizer.var.fill_(4.0)
    rollout, _ = random_rollout(model, T, N, seed=1)
    flat, draw = flatten_parameters(model), torch.Generator().manual_seed(2)
    found = []
    for one in (pass_over(model, flat, T, N), RecurrentPass(model, flat)):
        params, values = one.forward(rollout)
        draw.manual_seed(2)
        one.backward(*(torch.randn(part.shape, generator=draw, dtype=torch.float64) for part in (params, values[:-1])))
        found.append((params.clone(), values.clone(), gradient_of(flat).clone()))
    for ours, theirs in zip(*found, strict=True):
        assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@KINDS
def test_episodes_of_one_step_have_nothing_to_remember(kind: str) -> None:
    """Where every step begins an episode, the weights from state to state get no gradient."""
    cfg = settings(kind)
    model, rollout, naive = experience(VECTOR, cfg, 0, torch.ones(T + 1, N, dtype=torch.bool))
    rollout.terminated.fill_(True)
    learner = Learner(model, cfg)
    learner.update(rollout, 0)
    assert not model.memory.weight_hh.grad.any()
    assert model.memory.weight_ih.grad.any()
    assert naive.states.any()


@KINDS
def test_where_a_rollout_begins_counts_and_its_columns_learn_apart(kind: str) -> None:
    cfg = settings(kind)
    model, rollout, _ = experience(VECTOR, cfg, 1)
    assert rollout.memory is not None
    whole = gradient(model, rollout, cfg)
    apart = [gradient(model, columns(rollout, slice(k, k + 1)), cfg) for k in range(N)]
    assert relative_error(torch.stack(apart).mean(0), whole) < 1e-12
    other = dataclasses.replace(rollout, memory=rollout.memory + 1.0)
    assert relative_error(gradient(model, other, cfg), whole) > 1e-3
    later = rollout.memory.clone()
    later[1:] = 7.0  # the states after the first are computed anew, by the weights of now
    assert torch.equal(gradient(model, dataclasses.replace(rollout, memory=later), cfg), whole)


def test_a_rollout_without_states_is_refused() -> None:
    cfg = settings("gru")
    model, rollout, _ = experience(VECTOR, cfg, 0)
    with pytest.raises(ValueError, match="learns from rollouts that hold its states"):
        Learner(model, cfg).update(dataclasses.replace(rollout, memory=None, began=None), 0)


def test_updates_that_cannot_be_compiled_say_so() -> None:
    cfg, told = settings("lstm", compile=True), list[str]()
    model = make_model(VECTOR, cfg)
    learner = Learner(model, cfg, notify=told.append)
    learner.update(random_rollout(model, T, N)[0], 0)
    assert told == ["updates are not compiled: the network has a memory, which goes step by step"]


@KINDS
@pytest.mark.parametrize("changes", [{}, {"normalize_obs": True}, {"precision": "bf16"}], ids=str)
def test_layers_run_one_by_one_give_what_the_network_gives(kind: str, changes: dict[str, Any]) -> None:
    cfg = settings(kind, **changes)
    model = make_model(VECTOR, cfg)
    rollout, _ = random_rollout(model, T, N)
    assert rollout.memory is not None
    assert isinstance(rollout.obs, Tensor)
    with torch.no_grad():
        params, values, _ = model.forward(rollout.obs, rollout.memory[0], rollout.began)
        layers = {layer.name: layer.output for layer in layers_of(model, rollout.obs.flatten(0, 1), rollout)}
    assert_close(layers["policy_head.linear (Linear)"].view_as(params), params, rtol=2e-2, atol=2e-2)
    assert_close(layers["value_head (Linear)"].view_as(values), values, rtol=2e-2, atol=2e-2)


def test_the_first_number_that_is_not_finite_may_be_what_the_memory_held() -> None:
    cfg = settings("lstm")
    model = make_model(VECTOR, cfg)
    learner = Learner(model, cfg)
    rollout, _ = random_rollout(model, T, N)
    assert rollout.memory is not None
    rollout.memory[0, 3, 1] = torch.inf
    number, _ = first_number(model, learner.weights, cfg, rollout, 0)
    assert str(number) == "memory at the beginning[3, 1] = inf"
