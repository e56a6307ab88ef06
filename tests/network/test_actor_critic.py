"""The network: one pass gives policy and value, the weights follow from the seed, images are scaled once."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from a2c.envs.spaces import Spaces
from a2c.errors import ConfigError
from a2c.network.actor_critic import ActorCritic
from a2c.network.torso_choice import build_torso, torso_kind
from builders import IMAGE, TORQUE, VECTOR, config

ATARI = Spaces((4, 84, 84), "uint8", 6, discrete=True)
SPECS = pytest.mark.parametrize("spaces", [VECTOR, TORQUE, IMAGE], ids=["discrete", "continuous", "image"])


def model_of(spaces: Spaces, *, seed: int = 0, normalize_obs: bool = False, **network: Any) -> ActorCritic:
    return ActorCritic(spaces, config(network=network).network, normalize_obs=normalize_obs, seed=seed)


def observations(spaces: Spaces, count: int = 5, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    if spaces.obs_dtype == "uint8":
        return torch.randint(0, 256, (count, *spaces.obs_shape), generator=draw, dtype=torch.uint8)
    return torch.randn(count, *spaces.obs_shape, generator=draw)


def linears(module: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]


# ---- forward ----


@SPECS
@pytest.mark.parametrize("shared", [True, False])
def test_one_pass_gives_policy_parameters_and_values(spaces, shared):
    model = model_of(spaces, shared_torso=shared)
    params, values = model(observations(spaces))
    assert params.shape == (5, model.distribution.param_size)
    assert values.shape == (5,)


@SPECS
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("normalize_obs", [True, False])
def test_policy_alone_and_value_alone_equal_the_whole_bit_for_bit(spaces, shared, normalize_obs):
    model = model_of(spaces, shared_torso=shared, normalize_obs=normalize_obs)
    obs = observations(spaces)
    if model.normalizer is not None:
        model.normalizer.update(obs.unsqueeze(0))
    params, values = model(obs)
    assert torch.equal(model.policy(obs), params)
    assert torch.equal(model.value(obs), values)


def test_the_mlp_is_what_its_formula_says():
    model = model_of(VECTOR, hidden_sizes=[7], activation="tanh")
    obs = observations(VECTOR)
    hidden, critic = linears(model.torso)[0], linears(model.value_torso)[0]
    params, values = model(obs)
    features = torch.tanh(obs @ hidden.weight.T + hidden.bias)
    assert_close(params, features @ model.policy_head.linear.weight.T)
    assert_close(values, (torch.tanh(obs @ critic.weight.T) @ model.value_head.weight.T).squeeze(-1))


@pytest.mark.parametrize("activation", ["tanh", "relu", "elu", "silu"])
def test_every_activation_builds(activation):
    torso, _ = build_torso("mlp", VECTOR, config(network={"activation": activation}).network)
    assert [type(layer).__name__.lower() for layer in torso][2::2] == [activation] * 2


def test_without_hidden_layers_the_model_is_linear():
    model = model_of(VECTOR, hidden_sizes=[])
    zero, obs = torch.zeros(1, 4), observations(VECTOR)
    assert_close(model.value(obs * 2) - model.value(zero), 2 * (model.value(obs) - model.value(zero)))
    assert model.describe().endswith("20 weights")  # 4*3 + 3 of the policy, 4*1 + 1 of the value


def test_the_spread_of_continuous_actions_is_learned_and_the_same_everywhere():
    model = model_of(TORQUE, log_std_init=-0.5)
    log_std = model.policy(observations(TORQUE))[:, 2:]
    assert torch.equal(log_std, torch.full((5, 2), -0.5))
    log_std.sum().backward()
    assert_close(model.policy_head.log_std.grad, torch.full((2,), 5.0))


# ---- torsos ----


def test_torsos_apart_share_nothing():
    model, obs = model_of(VECTOR, shared_torso=False), observations(VECTOR)
    model.value(obs).sum().backward()
    assert all(weight.grad is None for weight in [*model.torso.parameters(), *model.policy_head.parameters()])
    assert all(weight.grad is not None for weight in model.value_torso.parameters())


def test_a_shared_torso_learns_from_both():
    model, obs = model_of(VECTOR, shared_torso=True), observations(VECTOR)
    assert model.value_torso is None
    for output in (model.value(obs), model.policy(obs)[:, 0]):
        gradient = torch.autograd.grad(output.sum(), list(model.torso.parameters()))
        assert all(part.abs().sum() > 0 for part in gradient)


def test_images_share_a_torso_and_vectors_do_not_unless_told():
    assert model_of(IMAGE).value_torso is None
    assert model_of(VECTOR).value_torso is not None
    assert model_of(IMAGE, shared_torso=False).value_torso is not None
    assert model_of(VECTOR, shared_torso=True).value_torso is None


def test_the_torso_follows_from_the_observations_unless_told():
    network = config().network
    assert torso_kind(VECTOR, network) == "mlp"
    assert torso_kind(IMAGE, network) == "nature_cnn"
    assert torso_kind(IMAGE, config(network={"torso": "mlp"}).network) == "mlp"


@pytest.mark.parametrize(("side", "features"), [(84, 7 * 7 * 64), (36, 64), (64, 4 * 4 * 64)])
def test_nature_cnn_fits_every_size_of_image(side, features):
    # 84: (84-8)/4+1 = 20, (20-4)/2+1 = 9, 9-2 = 7.   36: 8, 3, 1.   64: 15, 6, 4.
    torso, width = build_torso("nature_cnn", Spaces((4, side, side), "uint8", 6, discrete=True), config().network)
    assert width == 512
    assert torso[-2].in_features == features
    assert torso(torch.zeros(2, 4, side, side)).shape == (2, 512)


@pytest.mark.parametrize(
    ("size", "cells"), [((1, 1), 1), ((4, 5), 20), ((16, 16), 256), ((16, 17), 8 * 9), ((21, 80), 11 * 40)]
)
def test_small_cnn_keeps_the_cells_of_a_grid_and_every_fourth_of_a_larger_one(size, cells):
    torso, width = build_torso("small_cnn", Spaces((3, *size), "uint8", 6, discrete=True), config().network)
    assert torso[-2].in_features == 64 * cells
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    assert_close(torso(image), torch.nn.Sequential.forward(torso, image))
    assert torso(image).shape == (2, width)


def test_nature_cnn_takes_images_that_are_not_square():
    assert model_of(Spaces((3, 40, 90), "uint8", 2, discrete=True)).value(torch.zeros(2, 3, 40, 90)).shape == (2,)


def test_the_atari_network_has_the_published_number_of_weights():
    # Mnih et al. 2015: 4*32*64+32, 32*64*16+64, 64*64*9+64, 3136*512+512; then 512*6+6 and 512+1
    assert model_of(ATARI).describe() == "nature_cnn, one torso, 1,687,719 weights"


@pytest.mark.parametrize("shape", [(4,), (4, 35, 84), (84, 84, 4), (36, 36)])
def test_images_that_nature_cnn_cannot_take_are_a_config_error(shape):
    with pytest.raises(ConfigError, match=r"needs images \[C, H, W\] of at least 36 pixels a side, but .*torso=mlp"):
        model_of(Spaces(shape, "uint8", 2, discrete=True), torso="nature_cnn")


def test_the_mlp_takes_observations_of_any_shape():
    spaces = Spaces((2, 3, 5), "float32", 2, discrete=True)
    assert model_of(spaces, torso="mlp").value(torch.zeros(4, 2, 3, 5)).shape == (4,)


# ---- inputs ----


def test_bytes_are_scaled_to_one():
    model = model_of(IMAGE)
    images = observations(IMAGE)
    params, values = model(images)
    scaled_params, scaled_values = model(images.float() / 255)
    assert_close(params, scaled_params)  # in the weights, not in the images: equal but for rounding
    assert_close(values, scaled_values)


def test_bytes_are_scaled_before_they_are_normalised():
    model = model_of(IMAGE, normalize_obs=True)
    images = observations(IMAGE, 32)
    model.normalizer.update(images.unsqueeze(0))
    inputs = model.inputs(images)
    assert abs(float(inputs.mean())) < 1e-4
    assert float(inputs.std()) == pytest.approx(1, abs=1e-2)


def test_statistics_are_saved_with_the_weights_and_are_no_weights():
    model = model_of(VECTOR, normalize_obs=True)
    model.normalizer.update(observations(VECTOR).unsqueeze(0))
    restored = model_of(VECTOR, normalize_obs=True, seed=1)
    restored.load_state_dict(model.state_dict())
    obs = observations(VECTOR, seed=2)
    assert torch.equal(restored.value(obs), model.value(obs))
    assert not any("normalizer" in name for name, _ in model.named_parameters())


# ---- initial weights ----


def gain_of(model: ActorCritic, layer: nn.Module) -> float:
    return {model.policy_head.linear: 0.01, model.value_head: 1.0}.get(layer, math.sqrt(2))


@SPECS
@pytest.mark.parametrize("shared", [True, False])
def test_initial_weights_are_orthogonal_with_the_gain_of_their_place(spaces, shared):
    model = model_of(spaces, shared_torso=shared)
    assert len(linears(model)) >= 4
    for layer in linears(model):
        flat = layer.weight.detach().flatten(1).double()
        small = flat if flat.shape[0] <= flat.shape[1] else flat.T
        # W W^T = gain^2 I over the smaller side
        expected = gain_of(model, layer) ** 2 * torch.eye(len(small), dtype=torch.float64)
        assert_close(small @ small.T, expected, rtol=0, atol=1e-5)
        assert not layer.bias.any()


@SPECS
def test_the_first_policy_is_nearly_uniform(spaces):
    params = model_of(spaces).policy(observations(spaces, 64))[:, : spaces.actions]
    assert params.abs().max() < 0.1


def test_the_weights_are_a_function_of_the_seed_alone():
    torch.manual_seed(1)
    first, state = model_of(VECTOR, seed=5).state_dict(), torch.get_rng_state()
    torch.manual_seed(2)
    again, other = model_of(VECTOR, seed=5).state_dict(), model_of(VECTOR, seed=6).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("weight"))
    assert not torch.equal(state, torch.get_rng_state())


def test_policy_and_value_torso_start_from_different_weights():
    model = model_of(VECTOR, shared_torso=False)
    for one, other in zip(linears(model.torso), linears(model.value_torso), strict=True):
        assert not torch.equal(one.weight, other.weight)


def test_the_start_panel_says_what_the_network_is():
    # two torsos of 4*64+64 and 64*64+64 weights each, and heads of 64*3+3 and 64+1
    assert model_of(VECTOR).describe() == "mlp, policy and value apart, 9,220 weights"
