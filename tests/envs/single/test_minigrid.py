"""MiniGrid's ids import minigrid by themselves, and its observations become symbols and a direction."""

from __future__ import annotations

import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box

from a2c.api import load_config
from a2c.envs.converting.observations import FlatBox
from a2c.envs.examining.examination import _as_trained
from a2c.envs.look import decided
from a2c.envs.make_vector_env import make_registered
from a2c.envs.single.make_env import make_env
from a2c.envs.single.registry import find_spec
from a2c.errors import ConfigError
from a2c.settings.defaults import defaults_of
from envs.configs import env_config
from registrations import forget

STAND_IN = """
import gymnasium
for name in ("MiniGrid-Standing-In-v0", "BabyAI-Standing-In-v0"):
    gymnasium.register(name, "gymnasium.envs.classic_control:CartPoleEnv")
"""


@pytest.mark.parametrize("name", ["MiniGrid-Empty-8x8-v0", "BabyAI-GoToObj-v0"])
def test_missing_minigrid_says_what_to_install(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "minigrid", None)  # makes `import minigrid` fail
    with pytest.raises(ConfigError, match=rf"env.id={name} needs minigrid: pip install minigrid .*a2c\[minigrid\]"):
        make_env(env_config(name))


@pytest.mark.parametrize("name", ["MiniGrid-Standing-In-v0", "BabyAI-Standing-In-v0"])
def test_an_id_of_minigrid_imports_it(monkeypatch, tmp_path, name):
    (tmp_path / "minigrid.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "minigrid", raising=False)
    try:
        assert find_spec(name).id == name
    finally:
        forget(["MiniGrid-Standing-In-v0", "BabyAI-Standing-In-v0"], ["minigrid"])


def parts(*overrides):
    env = make_env(load_config("env.id=MiniGrid-MemoryS7-v0", *overrides).env)
    space = env.observation_space
    assert isinstance(space, FlatBox)
    return dict(space.parts), space.symbols


def test_symbols_are_one_hot_unless_something_else_is_seen():
    pytest.importorskip("minigrid")
    one_hot = 7 * 7 * (11 + 6 + 4)
    assert parts() == ({"direction": (4,), "image": (one_hot,)}, (11, 6, 4))
    assert parts("env.wrappers=[minigrid.wrappers.ImgObsWrapper]") == ({"the observation": (one_hot,)}, (11, 6, 4))
    pixels, symbols = parts("env.wrappers=[{minigrid.wrappers.RGBImgPartialObsWrapper: {tile_size: 4}}]")
    assert (pixels["image"], symbols) == ((3, 28, 28), ())
    assert parts("env.symbols=null")[0]["image"] == (3, 7, 7)
    assert parts("env.symbols=[20,6,4]")[1] == (20, 6, 4)


def test_what_training_shows_is_what_minigrid_shows():
    pytest.importorskip("minigrid")
    env = make_env(load_config("env.id=MiniGrid-MemoryS7-v0").env)
    obs, _ = env.reset(seed=3)
    theirs, _ = gym.make(env.unwrapped.spec.id, disable_env_checker=True).reset(seed=3)
    np.testing.assert_array_equal(obs[:4], np.eye(4)[theirs["direction"]])
    cells = obs[4:].reshape(7, 7, 11 + 6 + 4)
    for channel, part in enumerate(np.split(cells, [11, 17], axis=2)):
        np.testing.assert_array_equal(part.argmax(2), theirs["image"][..., channel])
        assert (part.sum(2) == 1).all()


def test_a_run_keeps_the_symbols_that_it_found():
    pytest.importorskip("minigrid")
    found = decided(load_config("env.id=MiniGrid-MemoryS7-v0"))
    assert found.env.symbols == [11, 6, 4]
    assert found.normalize_obs is True  # a vector, no image
    for given in ("network.torso=small_cnn", "network.encoders.image=nets:Mine", "algo=a3c", "algo=a2c_paper"):
        assert decided(load_config("env.id=MiniGrid-MemoryS7-v0", given)).env.symbols is None
    assert decided(load_config("env=cartpole")).env.symbols is None


class Pixels(gym.Wrapper):
    """Shows colours in the place of symbols, and is no ObservationWrapper."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = Box(0, 255, (32, 32, 3), np.uint8)

    def reset(self, **kwargs):
        return np.full((32, 32, 3), 200, np.uint8), super().reset(**kwargs)[1]


@pytest.mark.parametrize(
    ("overrides", "size"),
    [
        (("env.id=MiniGrid-KeyCorridorS3R1-v0", "env.wrappers=[minigrid.wrappers.FullyObsWrapper]"), 7 * 3 * 21),
        (("env.id=MiniGrid-Empty-5x5-v0", "env.kwargs={agent_view_size: 3}"), 3 * 3 * 21),
    ],
)
def test_three_cells_a_side_are_no_channels(overrides, size):
    pytest.importorskip("minigrid")
    env = make_env(load_config(*overrides).env)
    assert dict(env.observation_space.parts)["image"] == (size,)
    env.reset(seed=0)


def test_what_is_built_on_minigrid_and_shows_something_else_stays_an_image(monkeypatch):
    pytest.importorskip("minigrid")
    from minigrid.envs import EmptyEnv

    class Four(EmptyEnv):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.observation_space["image"] = Box(0, 255, (7, 7, 4), np.uint8)

    gym.register("MiniGrid-Four-v0", Four)
    gym.register("MiniGrid-Pixels-v0", lambda **kwargs: Pixels(EmptyEnv(**kwargs)))
    try:
        assert dict(make_env(env_config("MiniGrid-Four-v0", symbols="auto")).observation_space.parts)["image"] == (
            4, 7, 7,
        )  # fmt: skip
        env = make_env(env_config("MiniGrid-Pixels-v0", symbols="auto"))
        assert env.observation_space.shape == (3, 32, 32)
        env.reset(seed=0)
    finally:
        forget(["MiniGrid-Four-v0", "MiniGrid-Pixels-v0"], [])


@pytest.mark.parametrize("given", ["network.torso=small_cnn", "algo=ac", "algo=a3c"])
def test_the_doctor_examines_what_training_sees(given):
    pytest.importorskip("minigrid")
    env, cfg = _as_trained(load_config("env.id=MiniGrid-Empty-5x5-v0", given))
    assert cfg.env.symbols is None
    assert dict(env.observation_space.parts)["image"] == (3, 7, 7)


def test_what_a_run_found_by_itself_is_no_difference_and_what_was_given_is():
    pytest.importorskip("minigrid")
    for given, by_itself in (((), True), (("network.torso=small_cnn",), True), (("env.symbols=null",), False)):
        cfg = decided(load_config("env.id=MiniGrid-FourRooms-v0", *given))
        assert (defaults_of(cfg)[1].env.symbols == cfg.env.symbols) is by_itself


def test_symbols_are_refused_where_nothing_would_read_them():
    with pytest.raises(ConfigError, match="is for single environments, and CartPole-v1 is a vector environment here"):
        make_registered(env_config("CartPole-v1", symbols=[7]), 2)


def test_symbols_that_have_no_effect_are_refused():
    with pytest.raises(
        ConfigError, match=r"env\.symbols=\[3\]: observations hold no small image of bytes with 1 number a"
    ):
        make_env(load_config("env=cartpole", "env.symbols=[3]").env)


def test_without_symbols_it_is_an_image_beside_the_direction():
    pytest.importorskip("minigrid")
    env = make_env(load_config("env=minigrid_doorkey", "env.symbols=null").env)
    space = env.observation_space
    assert isinstance(space, FlatBox)
    assert space.parts == (("direction", (4,)), ("image", (3, 7, 7)))  # no mission: it is text
    obs, _ = env.reset(seed=3)
    theirs, _ = gym.make(env.unwrapped.spec.id, disable_env_checker=True).reset(seed=3)
    np.testing.assert_array_equal(obs[:4], np.eye(4)[theirs["direction"]])
    np.testing.assert_array_equal(obs[4:].reshape(3, 7, 7), np.moveaxis(theirs["image"], -1, 0))
