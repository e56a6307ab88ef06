"""CartPole-v1, seen otherwise.

PositionCartPole-v1: without its two velocities, so that it takes a memory to balance the pole ("P" of Wierstra et al.
2007, "Solving deep memory POMDPs with recurrent policy gradients"). DictCartPole-v1: its four numbers as four parts of
a Dict, to measure what parts cost. WholeCartPole-v1 makes them as well, and shows the four numbers as they were: beside
it the time that an environment takes for its own parts is not counted.

    PYTHONPATH=benchmarks a2c train env.id=cartpole_views:PositionCartPole-v1 network.memory=gru n_step=32
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.spaces import Box, Dict
from numpy.typing import NDArray

POSITIONS = [0, 2]  # of the cart, of the pole; the others are their velocities
NAMES = ("position", "velocity", "angle", "angular_velocity")

Numbers = NDArray[np.float32]


class Positions(gym.ObservationWrapper[Numbers, Any, Numbers]):
    """Shows the positions alone, ``[2]``."""

    def __init__(self, env: gym.Env[Numbers, Any]) -> None:
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, Box)
        self.observation_space = Box(space.low[POSITIONS], space.high[POSITIONS], dtype=np.float32)

    def observation(self, observation: Numbers) -> Numbers:
        return observation[POSITIONS]


class Parts(CartPoleEnv):
    """Shows each number as a part of a Dict. It is no wrapper, whose step would be measured too."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        space = self.observation_space
        bounds = zip(NAMES, space.low, space.high, strict=True)
        self.observation_space = Dict({name: Box(low, high, (1,), np.float32) for name, low, high in bounds})

    def reset(self, **kwargs: Any) -> tuple[dict[str, Numbers], dict[str, Any]]:
        seen, info = super().reset(**kwargs)
        return _parted(seen), info

    def step(self, action: Any) -> tuple[dict[str, Numbers], float, bool, bool, dict[str, Any]]:
        seen, reward, terminated, truncated, info = super().step(action)
        return _parted(seen), reward, terminated, truncated, info


class Whole(CartPoleEnv):
    """Makes the parts of :class:`Parts`, and does not show them."""

    def step(self, action: Any) -> tuple[Numbers, float, bool, bool, dict[str, Any]]:
        seen, reward, terminated, truncated, info = super().step(action)
        _parted(seen)
        return seen, reward, terminated, truncated, info


def _parted(seen: Numbers) -> dict[str, Numbers]:
    return {"position": seen[:1], "velocity": seen[1:2], "angle": seen[2:3], "angular_velocity": seen[3:]}


def _positions(**kwargs: Any) -> gym.Env[Any, Any]:
    return Positions(CartPoleEnv(**kwargs))


gym.register("PositionCartPole-v1", entry_point=_positions, max_episode_steps=500, reward_threshold=475)
gym.register("DictCartPole-v1", entry_point=Parts, max_episode_steps=500, reward_threshold=475)
gym.register("WholeCartPole-v1", entry_point=Whole, max_episode_steps=500, reward_threshold=475)
