"""What an environment gets of actions that are drawn within its bounds."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import a2c
from a2c.envs.spaces import Spaces
from a2c.errors import ConfigError
from a2c.maths.distributions import GSDE, Betas, DiagonalGaussian, SquashedGaussian
from a2c.network.emission import emission_of
from a2c.network.heads import distribution_of
from a2c.settings.config import PolicyConfig
from builders import LIGHT

BOX = Spaces((3,), "float32", 2, discrete=False, low=(-2.0, 0.0), high=(2.0, 10.0))
NAMES = ("gaussian", "squashed", "beta", "gsde")
CPU = torch.device("cpu")


def policy(name: str, state_dependent: bool = False) -> PolicyConfig:
    return PolicyConfig(name, state_dependent, 4)


def test_squashed_and_beta_fill_the_box_and_others_are_clipped_at_the_door() -> None:
    squashed, beta = (distribution_of(BOX, policy(name), 8) for name in ("squashed", "beta"))
    emit = emission_of(squashed, BOX, CPU)
    assert emit is not None
    torch.testing.assert_close(emit(torch.tensor([0.0, 0.0, 9.0, 9.0])), torch.tensor([0.0, 5.0]))
    torch.testing.assert_close(emit(torch.tensor([99.0, -99.0, 0.0, 0.0])), torch.tensor([2.0, 0.0]))
    emit = emission_of(beta, BOX, CPU)
    assert emit is not None
    torch.testing.assert_close(emit(torch.tensor([0.25, 0.5])), torch.tensor([-1.0, 5.0]))
    assert emission_of(distribution_of(BOX, policy("gaussian")), BOX, CPU) is None


def test_log_probabilities_are_those_of_actions_in_the_box() -> None:
    assert distribution_of(BOX, policy("squashed")) == SquashedGaussian(2, math.log(2) + math.log(5))
    assert distribution_of(BOX, policy("beta")) == Betas(2, math.log(4) + math.log(10))
    assert distribution_of(BOX, policy("gsde"), 8) == GSDE(2, 8)
    assert distribution_of(BOX, policy("gaussian", state_dependent=True)) == DiagonalGaussian(2, True)


@pytest.mark.parametrize("name", ["squashed", "beta"])
def test_actions_without_bounds_are_refused_in_a_line(name: str) -> None:
    with pytest.raises(ConfigError, match=f"policy.distribution={name} needs actions with bounds"):
        distribution_of(Spaces((3,), "float32", 1, discrete=False, low=(-math.inf,), high=(1.0,)), policy(name))


def train(tmp_path: Path, name: str, *overrides: str) -> Path:
    cfg = a2c.load_config(
        *LIGHT, "env.id=Pendulum-v1", "num_envs=4", "n_step=8", f"runs_dir={tmp_path}", f"policy.distribution={name}",
        "log_every=64", *overrides,
    )  # fmt: skip
    return Path(a2c.train(cfg).folder)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "how",
    [
        (),
        pytest.param(("policy.state_dependent_std=true",), marks=pytest.mark.long),
        pytest.param(("network.memory=gru",), marks=pytest.mark.long),
    ],
    ids=str,
)
def test_whoever_steps_and_whenever_it_stops_the_weights_are_the_same(
    name: str, how: tuple[str, ...], tmp_path: Path
) -> None:
    whole = train(tmp_path / "whole", name, "total_steps=640", *how)
    part = train(tmp_path / "part", name, "total_steps=320", "vectorization=workers", "num_workers=2", *how)
    resumed = train(tmp_path / "part", name, "total_steps=640", f"resume={part}", *how)
    ours, theirs = (a2c.load_policy(run / "checkpoints" / "last.pt").model.state_dict() for run in (whole, resumed))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("name", NAMES)
def test_the_environment_gets_actions_in_its_bounds(name: str, tmp_path: Path) -> None:
    trained = a2c.load_policy(train(tmp_path, name, "total_steps=64", "network.log_std_init=2"))
    for deterministic in (True, False):
        actions = trained.act(torch.randn(500, 3).numpy() * 3, deterministic)
        assert actions.shape == (500, 1)
        assert (abs(actions) <= 2).all()
        assert deterministic or actions.std() > 0.1
