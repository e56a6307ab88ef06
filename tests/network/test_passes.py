"""The passes that are written out give what the modules and autograd give, wherever the weights lie."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from a2c.envs.spaces import Spaces
from a2c.network.actor_critic import ActorCritic
from a2c.network.flat_weights import flatten_parameters
from a2c.network.passes import AutogradPass, MLPPass, pass_over, written_out
from a2c.rollout import Rollout
from builders import IMAGE, TORQUE, VECTOR, config, make_model

BYTES = Spaces((3, 5), "uint8", 3, discrete=True)
T, N = 4, 3

NETWORKS: list[dict[str, Any]] = [
    {},
    {"activation": "relu"},
    {"shared_torso": True},
    {"hidden_sizes": [7]},
    {"hidden_sizes": [5, 6, 7], "shared_torso": True, "activation": "relu"},
    {"layer_norm": "both"},
    {"layer_norm": "critic", "activation": "relu"},
    {"layer_norm": "both", "shared_torso": True, "activation": "relu"},
]


def model_of(spaces: Spaces, network: dict[str, Any], **changes: Any) -> tuple[ActorCritic, nn.Parameter]:
    model = make_model(spaces, config(network={"torso": "mlp", **network}, **changes), torch.float64, spread=0.3)
    return model, flatten_parameters(model)


def observations(spaces: Spaces, rows: int) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    if spaces.obs_dtype == "uint8":
        return torch.randint(0, 256, (rows, N, *spaces.obs_shape), generator=draw, dtype=torch.uint8)
    return torch.randn(rows, N, *spaces.obs_shape, generator=draw, dtype=torch.float64)


def over(obs: Tensor) -> Rollout:
    """A rollout of which only the observations mean anything."""
    nothing = torch.zeros(len(obs) - 1, obs.shape[1])
    return Rollout(obs, nothing, nothing, nothing > 0, nothing > 0, nothing, None, nothing.numel())


def gradients(model: ActorCritic) -> Tensor:
    return torch.cat([param.grad.flatten() for param in model.parameters() if param.grad is not None])


@pytest.mark.parametrize("normalize_obs", [False, True])
@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("spaces", [VECTOR, TORQUE], ids=["discrete", "continuous"])
def test_forward_and_backward_are_those_of_autograd(
    spaces: Spaces, network: dict[str, Any], normalize_obs: bool
) -> None:
    model, flat = model_of(spaces, network, normalize_obs=normalize_obs)
    obs = observations(spaces, T + 1)
    if model.normalizer is not None:
        model.normalizer.update(obs)
    passes = MLPPass(model, flat, T, N), MLPPass(model, flat, T, N, compiled=True), AutogradPass(model, flat)
    found = []
    for one in passes:
        with torch.no_grad():
            params, values = one.forward(over(obs))
            draw = torch.Generator().manual_seed(2)
            d_params = torch.randn(params.shape, generator=draw, dtype=torch.float64)
            d_values = torch.randn(T, N, generator=draw, dtype=torch.float64)
            gradients(model).fill_(9.0)  # must be overwritten, not added to
            one.backward(d_params, d_values)
        assert params.shape == (T, N, model.distribution.param_size)
        assert values.shape == (T + 1, N)
        found.append((params.clone(), values.clone(), gradients(model)))
    for name, *ours, theirs in zip(("params", "values", "gradient"), *found, strict=True):
        for each in ours:
            assert_close(each, theirs, rtol=1e-10, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")


def test_the_row_where_the_next_rollout_starts_is_valued_but_has_no_gradient() -> None:
    model, flat = model_of(VECTOR, {})
    one = MLPPass(model, flat, T, N)
    obs = observations(VECTOR, T + 1)
    found = []
    for last in (obs[-1], obs[-1] * 5):
        obs = torch.cat([obs[:-1], last[None]])
        with torch.no_grad():
            _, values = one.forward(over(obs))
            one.backward(
                torch.ones(T, N, model.distribution.param_size, dtype=torch.float64), torch.ones_like(values[:-1])
            )
        found.append((values[-1].clone(), gradients(model)))
    assert not torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_every_other_network_goes_through_autograd() -> None:
    assert written_out(make_model(VECTOR, config()))
    for spaces, changes in (
        (IMAGE, {}),
        (VECTOR, {"network": {"activation": "elu"}}),
        (VECTOR, {"network": {"hidden_sizes": []}}),
        (VECTOR, {"precision": "bf16"}),
    ):
        model = make_model(spaces, config(**changes))
        assert not written_out(model)
        assert isinstance(pass_over(model, flatten_parameters(model), T, N), AutogradPass)
