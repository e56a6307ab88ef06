"""Spaces that nobody can train on are refused in one line, and a layout of images is guessed with care."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from a2c.envs.single.make_env import make_env
from a2c.errors import ConfigError, EnvironmentFailure
from envs.configs import env_config


class Shows(gym.Env[Any, Any]):
    """Shows observations of a shape; without a shape it has no spaces."""

    def __init__(self, shape: tuple[int, ...] | None = None) -> None:
        if shape is not None:
            image = len(shape) == 3
            self.observation_space = Box(0, 255 if image else 1, tuple(shape), np.uint8 if image else np.float32)
            self.action_space = Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    gym.register("Shows-v0", Shows)
    yield
    del gym.registry["Shows-v0"]


def test_an_environment_without_spaces_is_refused_with_its_traceback() -> None:
    with pytest.raises(EnvironmentFailure, match="Shows-v0 has no spaces that can be read: AttributeError") as caught:
        make_env(env_config("Shows-v0"))
    assert "Traceback" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (36, 36, 0)])
def test_observations_without_numbers_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="holds no number at all"):
        make_env(env_config("Shows-v0", shape=shape))


@pytest.mark.parametrize(
    ("shape", "taken"),
    [
        ((48, 48, 6), (6, 48, 48)),  # as no image is six pixels wide
        ((6, 48, 48), (6, 48, 48)),
        ((48, 64, 3), (3, 48, 64)),
        ((48, 48, 48), (48, 48, 48)),
    ],
)
def test_channels_last_are_known_by_the_shortest_side(shape: tuple[int, ...], taken: tuple[int, ...]) -> None:
    env = make_env(env_config("Shows-v0", shape=shape))
    assert env.observation_space.shape == taken
    assert env.reset(seed=0)[0].shape == taken
