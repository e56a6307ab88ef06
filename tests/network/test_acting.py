"""The policy for acting is the network's own, whatever of it is prepared beforehand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from a2c.envs.spaces import Spaces
from a2c.network.acting import CastPolicy, PlainPolicy, WrittenOutPolicy, policy_of
from a2c.network.flat_weights import flatten_parameters
from builders import IMAGE, TORQUE, VECTOR, config, make_model
from capturing import Operations

BYTES = Spaces((3, 5), "uint8", 3, discrete=True)
GRID = Spaces((3, 5, 4), "uint8", 3, discrete=True)
MASKED = Spaces((7,), "float32", 3, discrete=True, mask=3)
SCENE = Spaces((17,), "float32", 3, discrete=True, mask=3, obs_parts=(("board", (2, 3, 2)), ("at", (2,))))
N = 3


def observations(spaces: Spaces) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    if spaces.obs_dtype == "uint8":
        return torch.randint(0, 256, (N, *spaces.obs_shape), generator=draw, dtype=torch.uint8)
    obs = torch.randn(N, *spaces.obs_shape, generator=draw)
    if spaces.mask:
        obs[:, -spaces.mask :] = torch.eye(N, spaces.mask)
    return obs


@pytest.mark.parametrize("layer_norm", ["none", "both"])
@pytest.mark.parametrize("normalize_obs", [False, True])
@pytest.mark.parametrize("spaces", [VECTOR, TORQUE, BYTES, IMAGE], ids=["discrete", "continuous", "bytes", "image"])
def test_the_policy_for_acting_is_the_models(spaces: Spaces, normalize_obs: bool, layer_norm: str) -> None:
    network = {"torso": "nature_cnn"} if spaces is IMAGE else {"torso": "mlp", "layer_norm": layer_norm}
    cfg = config(network=network, normalize_obs=normalize_obs)
    model = make_model(spaces, cfg, spread=0.3)
    acting = policy_of(model, N)
    assert isinstance(acting, PlainPolicy if spaces is IMAGE else WrittenOutPolicy)
    with torch.inference_mode():
        assert_close(acting.begin()(observations(spaces)), model.policy(observations(spaces)))


@pytest.mark.parametrize("normalize_obs", [False, True])
@pytest.mark.parametrize(
    ("spaces", "torso"),
    [(VECTOR, "mlp"), (TORQUE, "mlp"), (BYTES, "mlp"), (MASKED, "mlp"), (SCENE, "auto"), (GRID, "small_cnn"),
     (IMAGE, "nature_cnn")],
    ids=["discrete", "continuous", "bytes", "masked", "scene", "grid", "image"],
)  # fmt: skip
def test_weights_cast_once_give_the_numbers_of_autocast(spaces: Spaces, torso: str, normalize_obs: bool) -> None:
    model = make_model(spaces, config(network={"torso": torso}, normalize_obs=normalize_obs, precision="bf16"))
    acting, obs = policy_of(model, N), observations(spaces)
    assert isinstance(acting, CastPolicy)
    with torch.inference_mode():
        assert torch.equal(acting.begin()(obs), model.policy(obs))
        for weights in model.parameters():
            weights.mul_(0.5)
        assert torch.equal(acting.begin()(obs), model.policy(obs))  # every rollout casts them anew


def test_nothing_is_cast_at_a_step_but_bytes_and_features() -> None:
    model = make_model(IMAGE, config(precision="bf16"))
    policy, obs = policy_of(model, N).begin(), observations(IMAGE)
    with torch.no_grad(), Operations() as seen:
        policy(obs)
    assert seen.counts["_to_copy"] == 2
    with torch.no_grad(), Operations() as seen:
        model.policy(obs)
    assert seen.counts["_to_copy"] == 2 + 8  # weight and bias of four layers


@pytest.mark.parametrize("spaces", [VECTOR, TORQUE], ids=["discrete", "continuous"])
def test_a_rollout_begins_with_weights_that_have_moved(spaces: Spaces) -> None:
    model, obs = make_model(spaces, config(), spread=0.3), observations(spaces)
    acting = policy_of(model, N)
    with torch.inference_mode():
        before = acting.begin()(obs).clone()
    flat = flatten_parameters(model)
    with torch.no_grad():
        flat.mul_(2.0)
    with torch.inference_mode():
        assert_close(acting.begin()(obs), model.policy(obs))
        assert not torch.equal(model.policy(obs), before)
