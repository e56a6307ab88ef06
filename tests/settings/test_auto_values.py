"""Settings that nobody gives: each gets a value that fits, and whatever is given wins."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from omegaconf import OmegaConf

import a2c
from a2c.api import load_config
from a2c.envs.converting.plain_spaces import is_tabular, to_plain
from a2c.envs.look import decided
from a2c.errors import ConfigError, EnvironmentFailure
from a2c.settings.auto_values import KINDS, PAPER, Traits, decide, undecided, values_for
from a2c.settings.compose import conf_dir
from a2c.settings.config import Config
from a2c.settings.defaults import defaults_of
from a2c.settings.resumed_settings import flatten
from a2c.settings.rules import validate
from builders import LIGHT

VECTOR_KINDS = [kind for kind in KINDS if not kind.images]


class NotToBeMade(gym.Env):
    """An environment that nobody may make."""

    def __init__(self) -> None:
        raise AssertionError("somebody made it")


@pytest.mark.parametrize("algo", ["a2c", "ac", "a3c"])
@pytest.mark.parametrize("traits", KINDS)
def test_every_auto_gets_a_value_of_its_type_and_range(algo: str, traits: Traits) -> None:
    cfg = load_config("env.id=Any-v0", f"algo={algo}")
    found = validate(decide(cfg, traits))
    assert undecided(found) == []
    tree = dict(flatten(asdict(found)))
    again = load_config("env.id=Any-v0", f"algo={algo}", *(f"{key}={tree[key]}" for key in undecided(cfg)))
    assert asdict(again) == asdict(found)  # what is typed has the type that the setting wants


def test_what_is_given_wins() -> None:
    given = ("lr=0.5", "n_step=3", "normalize_obs=false", "max_grad_norm=null", "network.hidden_sizes=[7]")
    cfg = decide(load_config("env.id=Any-v0", *given), Traits())
    assert (cfg.lr, cfg.n_step, cfg.normalize_obs, cfg.max_grad_norm) == (0.5, 3, False, None)
    assert cfg.network.hidden_sizes == [7]
    assert cfg.optimizer == values_for("a2c", Traits())["optimizer"]


def test_the_settings_stay_as_they_were() -> None:
    cfg = load_config("env.id=Any-v0")
    before = asdict(cfg)
    assert asdict(decide(cfg, Traits())) != before
    assert asdict(cfg) == before
    complete = decide(cfg, Traits())
    assert decide(complete, Traits(images=True)) is complete


@pytest.mark.parametrize("algo", ["ac", "a3c"])
def test_the_article_s_other_algorithms_keep_its_settings_and_look_at_nothing(algo: str) -> None:
    cfg = replace(load_config("env.id=Any-v0", f"algo={algo}"), env=load_config(env=NotToBeMade).env)
    left = undecided(cfg)
    tree = dict(flatten(asdict(decided(cfg))))
    assert {key: tree[key] for key in left} == {key: PAPER[key] for key in left}


def test_plain_a2c_is_one_word_away_from_any_preset() -> None:
    paper = dict(flatten(OmegaConf.to_container(OmegaConf.load(conf_dir() / "algo" / "a2c_paper.yaml"))))
    assert {key: paper[key] for key in PAPER} == PAPER
    for env in ("env=lunarlander", "env=pendulum", "env.id=Any-v0"):
        tree = dict(flatten(asdict(load_config(env, "algo=a2c_paper"))))
        assert {key: tree[key] for key in paper} == paper


def test_the_a3c_of_the_paper_has_them_too() -> None:
    paper = dict(flatten(OmegaConf.to_container(OmegaConf.load(conf_dir() / "algo" / "a3c_paper.yaml"))))
    apart = {"lr_schedule", "max_grad_norm"}  # the paper anneals; its authors clipped at 40
    for key in (PAPER.keys() & paper.keys()) - apart:
        assert paper[key] == PAPER[key]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gamma=auto", "gamma='auto' must be a number (float)"),
        ("lr=fast", "lr='fast' must be a number (float) or auto"),
        ("n_step=Auto", "n_step='Auto' must be a whole number (int) or auto"),
        ("network.hidden_sizes=64", "network.hidden_sizes=64 must be a list, like [a,b], or auto"),
        ("network.init=auto", "network.init='auto' must be one of orthogonal, default"),
    ],
)
def test_only_some_may_be_auto(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config("env.id=Any-v0", override)
    assert message in str(error.value)


def test_rules_between_settings_are_seen_once_they_have_values() -> None:
    cfg = load_config("env.id=Any-v0", "lr_end=0.1")  # which needs a schedule, and auto may be one
    with pytest.raises(ConfigError, match=r"lr_end=0\.1 needs lr_schedule=linear or cosine"):
        validate(replace(decide(cfg, Traits()), lr_schedule="constant"))


@pytest.mark.parametrize(
    ("env_id", "traits"),
    [
        ("CartPole-v1", Traits()),
        ("Pendulum-v1", Traits(continuous=True)),
        ("pictures:Side-v0", Traits(images=True)),
        ("FrozenLake-v1", Traits(tabular=True)),
        ("Blackjack-v1", Traits(tabular=True)),  # three choices
        ("Taxi-v4", Traits(tabular=True)),  # with a mask of legal actions
    ],
)
def test_they_follow_from_the_spaces(env_id: str, traits: Traits) -> None:
    cfg = load_config(f"env.id={env_id}")
    assert asdict(decided(cfg)) == asdict(decide(cfg, traits))


class Anything(gym.Env):
    """Actions that have several parts; ``high`` is the upper bound of the continuous one."""

    def __init__(self, high: float = 1.0, choices: bool = True) -> None:
        self.observation_space = gym.spaces.Box(-1, 1, (3,))
        parts = {"push": gym.spaces.Box(-1, high, (2,), np.float32)}
        if choices:
            parts["a switch"] = gym.spaces.Discrete(3)
        self.action_space = gym.spaces.Dict(parts)


@pytest.mark.parametrize("choices", [True, False])
def test_a_squashed_policy_needs_bounds_of_what_is_continuous(choices: bool) -> None:
    def made(high: float) -> Config:
        return decided(load_config(env=lambda: Anything(high, choices)))

    bounded, unbounded = made(1.0), made(math.inf)
    assert (bounded.policy.distribution, unbounded.policy.distribution) == ("squashed", "gaussian")
    expected = decide(load_config(env=Anything), Traits(continuous=True, bounded=False))
    assert asdict(unbounded) == asdict(replace(expected, env=unbounded.env))
    assert made(-1.0).policy.distribution == "gaussian"  # the low end is the high end: nothing lies between


def test_what_goes_with_a_distribution_goes_with_the_one_that_is_given() -> None:
    cfg = load_config("env.id=Pendulum-v1")
    squashed, gaussian, beta = (
        decided(replace(cfg, policy=replace(cfg.policy, distribution=name))) for name in ("auto", "gaussian", "beta")
    )
    assert (squashed.policy.distribution, gaussian.policy.distribution) == ("squashed", "gaussian")
    assert gaussian.network != squashed.network
    assert beta.policy.distribution == "beta"
    own = decided(replace(cfg, network=replace(cfg.network, make="mine:Net")))
    assert own.policy.distribution == "gaussian"  # whose mean is an action


@pytest.mark.parametrize(
    ("network", "images", "normed"),
    [
        ({}, False, "both"),
        ({}, True, "none"),
        ({"torso": "mlp"}, True, "both"),
        ({"torso": "small_cnn"}, False, "none"),
        ({"torso": "mine:Torso"}, False, "none"),
        ({"encoders": {"board": "mine:Encoder"}}, False, "none"),
        ({"make": "mine:Net", "torso": "mlp"}, False, "none"),
        ({"torso": "mlp", "layer_norm": "critic"}, False, "critic"),
    ],
)
def test_layers_are_normalised_where_the_network_is_our_mlp(network: dict[str, Any], images: bool, normed: str) -> None:
    cfg = load_config("env.id=Any-v0")
    cfg = decide(replace(cfg, network=replace(cfg.network, **network)), Traits(images=images))
    assert cfg.network.layer_norm == normed


@pytest.mark.parametrize(
    ("space", "tabular"),
    [
        (spaces.Dict(a=spaces.Discrete(3), b=spaces.MultiDiscrete([2, 2])), True),
        (spaces.Dict(a=spaces.Discrete(3), words=spaces.Text(5)), True),  # nobody reads the words
        (spaces.Tuple([spaces.Discrete(3), spaces.Box(0, 1, (2,))]), False),
        (spaces.MultiBinary(3), False),
        (spaces.Box(0, 1, (3,)), False),
    ],
)
def test_a_table_has_rows_and_no_numbers(space: spaces.Space[Any], tabular: bool) -> None:
    assert is_tabular(to_plain(space)) == tabular
    assert not is_tabular(None)  # of an environment whose observations are not converted


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Taxi-v4", "Blackjack-v1"])
def test_what_was_given_is_told_from_what_a_table_gets(env_id: str) -> None:
    for activation in ("auto", "relu", "tanh"):
        cfg = decided(load_config(f"env.id={env_id}", f"network.activation={activation}"))
        usual = "relu" if env_id == "CartPole-v1" else "tanh"
        assert defaults_of(cfg)[1].network.activation == usual
        assert cfg.network.activation == (usual if activation == "auto" else activation)


def test_over_a_table_units_saturate() -> None:
    cfg = decide(load_config("env.id=Any-v0"), Traits(tabular=True))
    assert (cfg.network.activation, cfg.network.layer_norm) == ("tanh", "both")


def test_nothing_is_made_where_all_are_given() -> None:
    cfg = load_config("algo=a2c_paper", env=NotToBeMade)
    assert decided(cfg) is cfg


def test_an_environment_that_cannot_be_made_says_so() -> None:
    with pytest.raises(EnvironmentFailure, match="somebody made it"):
        decided(load_config(env=NotToBeMade))


def test_a_run_keeps_the_values_and_not_the_word(tmp_path: Path) -> None:
    cfg = load_config("env.id=CartPole-v1", *LIGHT, "total_steps=64", f"runs_dir={tmp_path}")
    summary = a2c.train(cfg)
    kept = OmegaConf.to_container(OmegaConf.load(Path(summary.folder) / ".hydra" / "config.yaml"))
    expected = dict(flatten(asdict(decide(cfg, Traits()))))
    assert {key: value for key, value in flatten(kept) if key in expected and expected[key] != value} == {}
    assert "auto" not in {json.dumps(dict(flatten(kept))[key]) for key in undecided(cfg)}
    assert a2c.train(replace(cfg, resume="auto")).folder == summary.folder  # the same settings again: it is finished
