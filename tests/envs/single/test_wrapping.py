"""``env.wrappers`` and ``env.reset_options``."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import own_toys
from a2c.envs.choosing.choose import Plan
from a2c.envs.make_vector_env import newest_frames
from a2c.envs.single.make_env import make_env
from a2c.envs.single.wrapping import ResetOptions, wrapped
from a2c.errors import ConfigError, EnvironmentFailure
from a2c.settings.compose import load_config
from a2c.settings.named_wrappers import named_wrappers
from envs.configs import env_config

CHAIN = ["gymnasium.wrappers.FlattenObservation", {"own_toys:Repeat": {"times": 3}}, "own_toys.shifted"]


def test_the_first_wrapper_stands_innermost_and_our_conversion_is_outside_of_all() -> None:
    env = make_env(dataclasses.replace(env_config("own_toys:Parts"), wrappers=CHAIN, reset_options={"place": 0}))
    around = []
    link: Any = env
    while isinstance(link, gym.Wrapper):
        around.append(type(link))
        link = link.env
    assert around[-1] is gym.wrappers.OrderEnforcing
    assert around[-2::-1][:4] == [
        gym.wrappers.FlattenObservation,
        own_toys.Repeat,
        gym.wrappers.TransformReward,
        ResetOptions,
    ]
    assert env.observation_space.shape == (32,)
    # From place 0 three steps to the right, each of 1 or 2: the rewards are 1 a step, and 1 is added once.
    env.reset(seed=3)
    assert env.step(1)[1] == (3.0 if env.unwrapped.steps == 2 else 4.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "typed",
    [
        "[gymnasium.wrappers.FlattenObservation, {own_toys:Repeat: {times: 3}}, own_toys.shifted]",
        "[gymnasium.wrappers.FlattenObservation,{own_toys.Repeat:{times:3}},own_toys:shifted]",
        "['gymnasium.wrappers.FlattenObservation', {'own_toys:Repeat': {'times': 3}}, 'own_toys.shifted']",
    ],
)
def test_a_chain_is_read_however_it_is_typed(typed: str) -> None:
    found = named_wrappers(load_config("env.id=X-v0", f"env.wrappers={typed}").env.wrappers)
    assert found == named_wrappers(CHAIN)
    assert [one.label for one in found] == [
        "gymnasium.wrappers:FlattenObservation",
        "own_toys:Repeat",
        "own_toys:shifted",
    ]
    assert [one.arguments for one in found] == [{}, {"times": 3}, {}]


@pytest.mark.parametrize(
    ("wrappers", "said"),
    [
        ("[4]", r"env.wrappers\[0\]=4 must be a name, like gymnasium"),
        ("[Repeat]", r"env.wrappers\[0\]='Repeat' must be a name, like gymnasium"),
        ("[own_toys:Repeat,{own_toys:Repeat:3}]", r"env.wrappers\[1\]=.* must be a name"),
        ("own_toys:Repeat", "env.wrappers='own_toys:Repeat' must be a list"),
        ("[{own_toys:Repeat:{_target_:os.system}}]", "names code to run"),
    ],
)
def test_what_is_no_chain_is_refused_before_anything_starts(wrappers: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config("env.id=X-v0", f"env.wrappers={wrappers}")


@pytest.mark.parametrize(
    ("wrapper", "said"),
    [
        ("own_toys:Repeet", "own_toys has no wrapper 'Repeet'; did you mean own_toys:Repeat?"),
        ("gymnasium.wrappers.FlatenObservation", "did you mean gymnasium.wrappers:FlattenObservation?"),
        ("gymnasium.wrappers.utils", "gymnasium.wrappers has no wrapper 'utils'"),
        ("no_such_toys:Repeat", "env.wrappers: no_such_toys:Repeat: no module named 'no_such_toys'"),
        ({"own_toys:Repeat": {"tims": 3}}, r"own_toys:Repeat does not accept {'tims': 3}: .*unexpected keyword"),
        ("own_toys:nothing", "own_toys:nothing gave a NoneType, no gymnasium.Env"),
    ],
)
def test_a_wrapper_that_cannot_be_is_one_line(wrapper: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        make_env(dataclasses.replace(env_config("own_toys:Walk"), wrappers=[wrapper]))
    assert "\n" not in str(raised.value)


def test_a_wrapper_that_raises_is_named_and_the_environment_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr(own_toys.Walk, "close", lambda env: closed.append(env))
    monkeypatch.setattr(own_toys, "nothing", lambda env: 1 / 0)
    with pytest.raises(EnvironmentFailure, match="own_toys:nothing could not be made: ZeroDivisionError") as raised:
        make_env(dataclasses.replace(env_config("own_toys:Walk"), wrappers=["own_toys:nothing"]))
    assert "1 / 0" in raised.value.__notes__[0]
    assert len(closed) == 1


def test_every_reset_has_the_options_and_nobody_can_change_them() -> None:
    class Greedy(own_toys.Walk):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            seen.append({key: list(value) if isinstance(value, list) else value for key, value in options.items()})
            options["list"].append(1)
            return super().reset(seed=seed)

    seen: list[Any] = []
    env = wrapped(Greedy(), [], {"list": [], "place": 1})
    env.reset(seed=1)
    env.reset(options={"place": 2})
    assert seen == [{"list": [], "place": 1}, {"list": [], "place": 2}]


def test_options_are_typed_like_arguments() -> None:
    assert load_config("env.id=X-v0", "env.reset_options.place=2").env.reset_options == {"place": 2}
    assert load_config("env.id=X-v0", "env.reset_options={place: 2, a: [1]}").env.reset_options == {
        "place": 2,
        "a": [1],
    }


def test_wrappers_of_an_atari_game_see_the_whole_stack() -> None:
    pytest.importorskip("ale_py")
    env = env_config("ALE/Pong-v5")
    assert newest_frames(env, Plan("sync", None, ""))[1] is not None
    env = dataclasses.replace(env, wrappers=["gymnasium.wrappers.FlattenObservation"])
    assert newest_frames(env, Plan("sync", None, "")) == (env, None)
    assert make_env(env).reset(seed=1)[0].shape == (4 * 84 * 84,)


@pytest.mark.parametrize("setting", ["env.wrappers=[own_toys:Repeat]", "env.reset_options={a: 1}"])
def test_a_vector_environment_of_the_id_takes_neither(setting: str) -> None:
    with pytest.raises(ConfigError, match="does not go with vectorization=native: it is for single environments"):
        load_config("env=cartpole", "vectorization=native", setting)
    assert np.isfinite(load_config("env=cartpole", setting).gamma)
