"""The pass that is written out gives what autograd gives."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from a2c.envs.spaces import Spaces
from a2c.network.flat_weights import flatten_parameters, gradient_of
from a2c.network.passes import pass_over
from a2c.network.recurrent_mlp_pass import RecurrentMLPPass
from a2c.network.recurrent_pass import RecurrentPass
from builders import TORQUE, VECTOR, config, make_model, random_rollout

T, N = 7, 6
KINDS = pytest.mark.parametrize("kind", ["lstm", "gru"])


def network(kind: str, **more: Any) -> dict[str, Any]:
    return {"memory": kind, "memory_size": 5, "hidden_sizes": [6, 4], **more}


@KINDS
@pytest.mark.parametrize("spaces", [VECTOR, TORQUE], ids=["discrete", "continuous"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("normalize_obs", [False, True])
@pytest.mark.parametrize("layer_norm", ["none", "both"])
def test_both_passes_agree(kind: str, spaces: Spaces, activation: str, normalize_obs: bool, layer_norm: str) -> None:
    cfg = config(network=network(kind, activation=activation, layer_norm=layer_norm), normalize_obs=normalize_obs)
    model = make_model(spaces, cfg, torch.float64, spread=0.3)
    rollout, _ = random_rollout(model, T, N, seed=3)
    assert rollout.began is not None
    assert rollout.began[1:].any()
    flat = flatten_parameters(model)
    written, automatic = pass_over(model, flat, T, N), RecurrentPass(model, flat)  # type: ignore[arg-type]
    assert isinstance(written, RecurrentMLPPass)
    d_params, d_values = (
        torch.randn(T, N, model.distribution.param_size, dtype=torch.float64),
        torch.randn(T, N, dtype=torch.float64),
    )
    found = []
    for each in (automatic, written, written):  # a second time too: its memory is used again
        gradient_of(flat).fill_(7.0)  # overwritten
        outputs = each.forward(rollout)
        each.backward(d_params, d_values)
        found.append((*outputs, gradient_of(flat).clone()))
    for other in found[1:]:
        assert_close(other, found[0], rtol=1e-10, atol=1e-12)


@KINDS
@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"network": {"activation": "elu"}}], ids=str)
def test_other_networks_keep_autograd(kind: str, changes: dict[str, Any]) -> None:
    more = changes.get("network", {})
    cfg = config(**{**changes, "network": network(kind, **more)})
    model = make_model(VECTOR, cfg)
    assert isinstance(pass_over(model, flatten_parameters(model), T, N), RecurrentPass)
