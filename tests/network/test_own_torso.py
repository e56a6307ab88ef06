"""A torso or an encoder of the user's own, by its name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from a2c.envs.spaces import Spaces
from a2c.errors import ConfigError
from a2c.learning.layers import layers_of
from a2c.learning.learner import Learner
from a2c.network.acting import policy_of
from a2c.network.actor_critic import ActorCritic
from a2c.network.making import make_network
from a2c.network.passes import AutogradPass, pass_over
from builders import IMAGE, VECTOR, config, make_model, random_rollout
from network_toys import Lazy, Ours, Part

PARTS = (("goal.0", (3,)), ("image", (1, 2, 3)), ("speed", (1,)))
SCENE = Spaces((10,), "float32", 3, discrete=True, obs_parts=PARTS)


def torso(name: str, **network: Any) -> Any:
    return config(network={"torso": f"network_toys:{name}", **network})


def test_it_stands_where_ours_would_and_policy_and_value_of_vectors_have_one_each() -> None:
    model: Any = make_network(torso("Ours"), VECTOR)
    assert isinstance(model.torso.module, Ours)
    assert isinstance(model.value_torso.module, Ours)
    assert model.describe() == "network_toys:Ours, policy and value apart, 9,220 weights"
    obs = torch.randn(5, 4)
    params, values = model(obs)
    assert_close(params, model.policy_head(model.torso.module(obs)))
    assert_close(values, model.value_head(model.value_torso.module(obs)).squeeze(-1))
    assert not torch.equal(model.torso.module.layers[0].weight, model.value_torso.module.layers[0].weight)


def test_images_share_it_and_arrive_as_bytes() -> None:
    seen = []
    model: Any = make_network(torso("Ours"), IMAGE)
    model.torso.module.register_forward_pre_hook(lambda module, given: seen.append(given[0].dtype))
    assert model.value_torso is None
    model.policy(torch.zeros(2, 4, 36, 36, dtype=torch.uint8))
    assert seen == [torch.uint8]


def test_the_seed_alone_determines_its_weights_and_nobody_elses_generator_moves() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first: Any = make_network(torso("Ours"), VECTOR)
    assert torch.equal(torch.rand(3), expected)
    again: Any = make_network(torso("Ours"), VECTOR)
    other: Any = make_network(config(seed=2, network={"torso": "network_toys:Ours"}), VECTOR)
    weights = [model.torso.module.layers[0].weight for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_its_initial_weights_are_its_own_affair_and_the_heads_ours() -> None:
    model: Any = make_network(torso("Ours"), VECTOR)
    assert model.torso.module.layers[0].bias.any()  # ours would be zero
    assert not model.policy_head.linear.bias.any()
    assert_close(model.policy_head.linear.weight.norm(dim=1), torch.full((3,), 0.01))


def test_lazy_layers_find_their_size_and_batch_statistics_see_no_trial() -> None:
    model: Any = make_network(torso("Lazy"), VECTOR)
    module = model.torso.module
    assert isinstance(module, Lazy)
    assert module.layers[1].in_features == 4
    assert model.policy_head.linear.in_features == 5
    assert module.layers[2].num_batches_tracked == 0
    assert module.training


def test_it_learns_by_autograd_and_its_gradient_is_that_of_ours() -> None:
    cfg = config(gae_lambda=0.9, network={"shared_torso": True})
    ours = make_model(VECTOR, cfg, torch.float64, spread=0.1)
    own: Any = make_network(torso("Ours", shared_torso=True), VECTOR).to(torch.float64)
    layers = own.torso.module.layers
    layers.load_state_dict(dict(zip(layers.state_dict(), ours.torso.state_dict().values(), strict=True)))
    own.policy_head.load_state_dict(ours.policy_head.state_dict())
    own.value_head.load_state_dict(ours.value_head.state_dict())
    rollout, _ = random_rollout(ours, steps=4, count=3)
    learners = [Learner(model, cfg) for model in (own, ours)]
    assert isinstance(pass_over(own, learners[0].weights, 4, 3), AutogradPass)
    for learner in learners:
        learner.update(rollout, 0)
    assert_close(learners[0].weights.grad, learners[1].weights.grad, rtol=1e-10, atol=1e-12)


def test_in_bfloat16_acting_and_learning_see_the_same_numbers() -> None:
    cfg = config(precision="bf16", network={"torso": "network_toys:Ours"})
    model: Any = make_network(cfg, VECTOR)
    obs = torch.randn(6, 4)
    with torch.no_grad():
        assert_close(policy_of(model, 6).begin()(obs), model(obs)[0], rtol=0, atol=0)
        assert not torch.equal(model(obs)[0], make_network(torso("Ours"), VECTOR)(obs)[0])  # type: ignore[operator]


def test_it_feeds_a_memory() -> None:
    model: Any = make_network(torso("Ours", memory="gru", memory_size=8), VECTOR)
    params, after = model.policy(torch.randn(3, 4), model.initial_memory(3))
    assert (params.shape, after.shape) == ((3, 3), (3, 8))


def test_a_replay_shows_its_layers_too() -> None:
    model, obs = make_network(torso("Ours"), VECTOR), torch.randn(6, 4)
    layers = {layer.name: layer.output for layer in layers_of(model, obs)}
    name = "torso.module.layers.0 (Linear)"
    assert_close(layers[name], model.torso.module.layers[0](obs))  # type: ignore[attr-defined]


# ---- encoders ----


def scene(**encoders: str) -> Any:
    named = {key.replace("_", "."): f"network_toys:{name}" for key, name in encoders.items()}
    return config(network={"encoders": named})


def test_an_encoder_reads_its_part_alone_and_the_rest_joins_its_features() -> None:
    model: Any = make_network(scene(goal_0="Part"), SCENE)
    assert isinstance(model, ActorCritic)
    goal, image = model.torso.encoders
    assert isinstance(goal.module, Part)
    assert goal.module.shape == (3,)
    obs = torch.arange(20.0).view(2, 10)
    joined = torch.cat([obs[:, :3].sum(1, keepdim=True), image(obs[:, 3:9].reshape(2, 1, 2, 3)), obs[:, 9:]], 1)
    assert_close(model.torso(obs), model.torso.joining(joined))
    assert model.describe().startswith("Part, small_cnn joined, one torso, ")


def test_an_encoder_takes_the_place_of_the_cnn_and_numbers_alone_may_have_one() -> None:
    model: Any = make_network(scene(image="Part"), SCENE)
    (image,) = model.torso.encoders
    assert image.module.shape == (1, 2, 3)
    assert model.torso.joining.linears[0].in_features == 3 + 1 + 1
    numbers = Spaces((4,), "float32", 3, discrete=True, obs_parts=(("goal.0", (3,)), ("speed", (1,))))
    both: Any = make_network(scene(goal_0="Part", speed="Part"), numbers)
    assert both.torso.joining.linears[0].in_features == 2
    assert both.describe().startswith("2 Part joined, one torso, ")


# ---- what does not fit is one line ----

MISFITS: dict[str, tuple[Spaces, dict[str, Any], str]] = {
    "there is no such module": (
        VECTOR, {"torso": "no_such_module:Torso"}, "network.torso=no_such_module:Torso: no module named"),
    "or name": (
        VECTOR, {"torso": "network_toys:Our"},
        "network.torso=network_toys:Our: network_toys has no function or class 'Our'; did you mean 'Ours'?"),
    "it makes no module": (
        VECTOR, {"torso": "network_toys:no_module"},
        "network.torso=network_toys:no_module gave a str; it needs to be a torch.nn.Module"),
    "its constructor raises": (
        VECTOR, {"torso": "network_toys:raises"}, "raised ValueError in its constructor: no such width; its traceback"),
    "or ends the program": (VECTOR, {"torso": "network_toys:leaves"}, "raised SystemExit in its constructor: 7; its"),
    "its forward raises": (
        VECTOR, {"torso": "network_toys:Broken"}, "raised RuntimeError in its forward pass: mat1 and mat2 shapes"),
    "its features have no rows": (
        VECTOR, {"torso": "network_toys:Flat"},
        "network.torso=network_toys:Flat made [6] float32 of observations [2, 4]; it needs to make [2, F] float32"),
    "its weights are float64": (
        VECTOR, {"torso": "network_toys:Double"}, "its weight layer.weight is float64; weights need to be float32"),
    "an encoder has no part": (
        SCENE, {"encoders": {"imgae": "network_toys:Part"}},
        "network.encoders.imgae: observations have no part 'imgae'; did you mean 'image'?"),
    "or observations have none": (
        VECTOR, {"encoders": {"image": "network_toys:Part"}},
        "network.encoders.image: observations have no part 'image'; they have: no parts with names"),
}  # fmt: skip


@pytest.mark.parametrize("what", MISFITS)
def test_what_does_not_fit_is_one_line_with_its_name(what: str) -> None:
    spaces, network, said = MISFITS[what]
    with pytest.raises(ConfigError) as caught:
        make_network(config(network=network), spaces)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_torso_that_later_gives_another_shape_is_named() -> None:
    model: Any = make_network(torso("Ours"), VECTOR)
    model.torso.module.layers.append(torch.nn.Linear(64, 3))
    with pytest.raises(ConfigError, match=r"made \[2, 3\] float32 of observations \[2, 4\]; .* \[2, 64\] float32"):
        model.policy(torch.zeros(2, 4))
