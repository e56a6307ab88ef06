"""The first number of an update that is not finite is found, with what it was computed from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from a2c.errors import NumericError
from a2c.learning.first_number import first_number
from a2c.learning.learner import Learner
from a2c.network.own_module import OwnModule
from a2c.rollout import Rollout
from builders import IMAGE, TORQUE, VECTOR, config, make_model, random_rollout


def put(name: str, index: tuple[int, ...], number: float) -> Callable[[Learner, Rollout], None]:
    def spoil(learner: Learner, rollout: Rollout) -> None:
        getattr(rollout, name)[index] = number

    return spoil


def weigh(name: str, number: float) -> Callable[[Learner, Rollout], None]:
    def spoil(learner: Learner, rollout: Rollout) -> None:
        with torch.no_grad():
            dict(learner.model.named_parameters())[name].view(-1)[0] = number  # type: ignore[attr-defined]

    return spoil


def cancel(learner: Learner, rollout: Rollout) -> None:
    """Two rewards that are finite, but whose sum is not."""
    rollout.terminated[:], rollout.truncated[:] = False, False
    rollout.rewards[1:3, 2] = 3e38


def cut(learner: Learner, rollout: Rollout) -> None:
    rollout.terminated[0, 0], rollout.truncated[0, 0], rollout.final_values[0, 0] = False, True, math.inf


def far(learner: Learner, rollout: Rollout) -> None:
    rollout.obs[0, 1] = torch.tensor([3e38, 0.0, 0.0, 0.0])
    weigh("torso.1.weight", 3.0)(learner, rollout)


@pytest.mark.parametrize(
    ("changes", "spoil", "found"),
    [
        ({}, put("rewards", (1, 2), math.nan), "rewards[1, 2] = nan"),
        ({}, put("obs", (3, 1, 2), -math.inf), "observations[3, 1, 2] = -inf"),
        ({}, put("obs", (4, 0, 0), math.nan), "observations[4, 0, 0] = nan"),  # of which only the value is used
        ({}, cut, "final values[0, 0] = inf"),
        ({}, weigh("torso.3.weight", math.inf), "torso.3.weight[0, 0] = inf"),
        (
            {"network": {"activation": "relu"}},
            far,
            "torso.1 (Linear)[0, 1, 0] = inf, from its input, largest = 3e+38, its weight, largest = 3",
        ),
        ({"normalize_obs": True}, put("obs", (1, 1, 2), math.inf), "observations[1, 1, 2] = inf"),
        ({}, cancel, "returns[1, 2] = inf, from rewards[1, 2] = 3e+38, next values[1, 2] = "),
        ({}, put("rewards", (2, 1), 1e30), "gradient norm = inf, from gradient of value_torso.3.bias, largest = 1.00"),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_it_is_found_where_it_began(
    changes: dict[str, Any], spoil: Callable[[Learner, Rollout], None], found: str, precision: str
) -> None:
    cfg = config(precision=precision, n_step=4, num_envs=3, max_grad_norm=None, **changes)
    learner = Learner(make_model(VECTOR, cfg, spread=0.1), cfg)
    rollout, _ = random_rollout(learner.model, 4, 3, seed=1)  # type: ignore[arg-type]
    nothing, sound = first_number(learner.model, learner.weights, cfg, rollout, 0)
    assert nothing is None
    assert {"policy parameters", "returns", "gradient of value_head.weight", "torso.1 (Linear)"} <= set(sound)
    learner.update(rollout, 0)
    spoil(learner, rollout)
    number, _ = first_number(learner.model, learner.weights, cfg, rollout, 12)
    assert str(number).startswith(found), number
    with pytest.raises(NumericError):
        learner.update(rollout, 12)


def test_actions_that_are_no_numbers_are_found() -> None:
    cfg = config()
    learner = Learner(make_model(TORQUE, cfg), cfg)
    rollout, _ = random_rollout(learner.model, 4, 3)  # type: ignore[arg-type]
    rollout.actions[2, 1, 0] = math.nan
    number, _ = first_number(learner.model, learner.weights, cfg, rollout, 0)
    assert str(number) == "actions[2, 1, 0] = nan"


def test_layers_run_as_modules_give_what_the_network_gives() -> None:
    from a2c.learning.layers import layers_of

    for spaces, changes in ((IMAGE, {}), (VECTOR, {"normalize_obs": True}), (IMAGE, {"precision": "bf16"})):
        cfg = config(**changes)
        model = make_model(spaces, cfg)
        rollout, _ = random_rollout(model, 2, 2)
        obs = rollout.obs.flatten(0, 1)
        with torch.no_grad():
            params, values = model.forward(obs)
            layers = {layer.name: layer.output for layer in layers_of(model, obs)}
        torch.testing.assert_close(layers["policy_head.linear (Linear)"], params, rtol=2e-2, atol=2e-2)
        torch.testing.assert_close(layers["value_head (Linear)"].squeeze(-1), values, rtol=2e-2, atol=2e-2)


class Root(nn.Module):
    """Of a negative number there is none."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sqrt()


class Theirs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.root, self.policy, self.value = nn.Linear(4, 8), Root(), nn.Linear(8, 3), nn.Linear(8, 1)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        features = self.root(self.first(obs))
        return self.policy(features), self.value(features)


def test_the_layer_of_a_users_own_network_is_named() -> None:
    torch.manual_seed(0)
    cfg = config(n_step=4, num_envs=3)
    learner = Learner(OwnModule(Theirs(), VECTOR), cfg)
    rollout, _ = random_rollout(make_model(VECTOR, cfg), 4, 3)
    before = learner.weights.detach().clone()
    with pytest.raises(NumericError, match="not applied"):
        learner.update(rollout, 0)
    assert torch.equal(learner.weights, before)
    number, sound = first_number(learner.model, learner.weights, cfg, rollout, 0)
    assert str(number).startswith("module.root (Root)[0, 0, "), number
    assert "its input, largest = " in str(number)
    assert "module.first (Linear)" in sound
