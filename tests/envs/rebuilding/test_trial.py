"""The trial finds how episodes can be rebuilt, and where that cannot be done it says why."""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import rebuilding_toys
from a2c.api import load_config
from a2c.envs.rebuilding import trial
from a2c.envs.rebuilding.origins import RENEW, REPLAY, RESTART, STATE
from a2c.envs.rebuilding.trial import Rebuilding, agrees, same, try_out, try_out_watched
from a2c.envs.single.make_env import make_env

MISNAMED = "get_state and set_state do not serve: TypeError"


def tried(make: Callable[[], Any], alone: bool = False, seed: int = 3) -> Rebuilding:
    env = make()
    try:
        return try_out_watched(env, None if alone else make, seed, np.zeros(1, np.int64))
    finally:
        env.close()


@pytest.fixture
def any_renewable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "renewable", lambda env: True)


def box2d() -> None:
    with warnings.catch_warnings():  # it warns while it is imported, and dies if that raises
        warnings.simplefilter("ignore")
        pytest.importorskip("Box2D")


@pytest.mark.parametrize(
    ("name", "kind", "why", "alone", "why_alone"),
    [
        ("Dice", REPLAY, "", REPLAY, ""),
        ("TreeDice", REPLAY, "", REPLAY, ""),
        ("MisnamedDice", REPLAY, MISNAMED, REPLAY, MISNAMED),
        ("KeptDice", STATE, "", STATE, ""),
        ("LeakyDice", RESTART, "step 0 of an episode differs", RESTART, "step 0 of an episode differs"),
        ("LeakiestDice", RESTART, "step 0 of an episode differs", RESTART, "step 0 of an episode differs"),
        ("OwnDice", RESTART, "step 0 of an episode differs", RESTART, "step 0 of an episode differs"),
        ("UntoldDice", RESTART, "get_state and set_state do not serve: TypeError: a Generator is no", RESTART, ""),
        ("PartlyKeptDice", RESTART, "step 0 of an episode differs", RESTART, ""),
        ("OnlyDice", REPLAY, "", REPLAY, ""),
    ],
)
def test_every_kind_is_found(name: str, kind: str, why: str, alone: str, why_alone: str) -> None:
    make = functools.partial(gym.make, f"rebuilding_toys:{name}-v0")
    assert tried(make).kind == kind
    assert tried(make).why.startswith(why)
    assert tried(make, alone=True).kind == alone
    assert tried(make, alone=True).why.startswith(why_alone)


@pytest.mark.usefixtures("any_renewable")
def test_what_a_reset_leaves_behind_is_not_in_a_new_instance() -> None:
    make = functools.partial(gym.make, "rebuilding_toys:LeakyDice-v0")
    assert tried(make).kind == RENEW
    assert tried(make, alone=True).kind == RESTART


@pytest.mark.parametrize(
    ("name", "kind"), [("CartPole-v1", REPLAY), ("LunarLander-v3", REPLAY), ("BipedalWalker-v3", RENEW)]
)
def test_environments_that_everybody_knows(name: str, kind: str) -> None:
    if "CartPole" not in name:
        box2d()
    assert {tried(functools.partial(gym.make, name), seed=seed).kind for seed in range(3)} == {kind}


def test_sticky_actions_of_atari_are_drawn_by_the_emulator() -> None:
    pytest.importorskip("ale_py")
    cfg = load_config("env=breakout", "env.atari.repeat_action_probability=0.25", "env.atari.screen_size=36")
    assert tried(functools.partial(make_env, cfg.env)) == Rebuilding(STATE)


def test_slow_environments_play_few_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count()
    monkeypatch.setattr(trial.time, "perf_counter", lambda: float(next(seconds)))
    resets: list[Any] = []
    reset = rebuilding_toys.Dice.reset
    monkeypatch.setattr(rebuilding_toys.Dice, "reset", lambda env, **how: (resets.append(how), reset(env, **how))[1])
    assert try_out(rebuilding_toys.Dice(), None, 0).kind == REPLAY
    assert len(resets) == 2 * trial.LEAST


@pytest.mark.usefixtures("any_renewable")
def test_an_instance_that_takes_long_to_make_is_not_made_for_every_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(trial.time, "perf_counter", lambda: clock[0])

    def make() -> Any:
        clock[0] += 2 * trial.SLOW
        return rebuilding_toys.LeakyDice()

    found = try_out(make(), make, 0)
    assert found.kind == RESTART
    assert found.why.endswith("and a new instance for each takes too long")


@pytest.mark.usefixtures("any_renewable")
def test_no_instance_of_the_trial_stays_open() -> None:
    opened: list[Any] = []

    def make() -> Any:
        env = rebuilding_toys.LeakyDice()
        env.close = lambda: opened.remove(env)  # type: ignore[method-assign]
        opened.append(env)
        return env

    env = make()
    assert try_out_watched(env, make, 0, np.zeros(1, np.int64)).kind == RENEW
    assert opened == [env]


def test_same_is_equal_in_every_number_and_dtype() -> None:
    tree = {"a": np.array([1.0, np.nan]), "b": (np.int64(3), "text")}
    assert same(tree, {"a": np.array([1.0, np.nan]), "b": (np.int64(3), "text")})
    assert not same(tree, {"a": np.array([1.0, np.nan], np.float32), "b": (np.int64(3), "text")})
    assert not same(tree, {"a": np.array([1.0, 2.0]), "b": (np.int64(3), "text")})
    assert not same(tree, {"a": np.array([1.0, np.nan]), "b": (np.int64(3), "texts")})
    assert not same(tree, {"a": np.array([1.0, np.nan])})


def test_an_observation_agrees_in_the_dtype_of_what_was_saved() -> None:
    saved = {"a": np.array([0.1], np.float32), "b": (np.array(3),)}
    assert agrees({"a": np.array([0.1]), "b": (3,)}, saved)
    assert not agrees({"a": np.array([0.2]), "b": (3,)}, saved)
    assert not agrees({"a": np.array([0.1]), "b": (4,)}, saved)
