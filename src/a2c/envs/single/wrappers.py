"""Small wrappers: bring observations into the two forms that networks take, and keep final ones."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray


class Vector(gym.ObservationWrapper[NDArray[np.float32], Any, Any]):
    """Turns a Box of any shape and dtype into a float32 vector ``[D]``."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, Box)
        low, high = (bound.reshape(-1).astype(np.float32) for bound in (space.low, space.high))
        self.observation_space = Box(low, high, dtype=np.float32)
        self._shape = space.shape

    def observation(self, observation: Any) -> NDArray[np.float32]:
        values = np.asarray(observation)
        if values.shape != self._shape:
            raise ValueError(f"observation of shape {values.shape}, its space says {self._shape}")
        return values.reshape(-1).astype(np.float32)


class ChannelFirst(gym.ObservationWrapper[NDArray[np.uint8], Any, Any]):
    """Turns a uint8 image ``[H, W, C]`` into ``[C, H, W]``, which is how convolutions read it."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, Box)
        low, high = space.low.transpose(2, 0, 1), space.high.transpose(2, 0, 1)
        self.observation_space = Box(low, high, dtype=np.uint8)

    def observation(self, observation: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.ascontiguousarray(observation.transpose(2, 0, 1))


class KeepFinalObservation(gym.Wrapper[Any, Any, Any, Any]):
    """Copies an episode's last observation.

    Gymnasium's SAME_STEP environments hand out the array itself and reset before anyone reads it: an environment
    that writes its observations into one buffer would show the reset observation as the final one.
    """

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        if terminated or truncated:
            obs = np.array(obs)
        return obs, reward, terminated, truncated, info
