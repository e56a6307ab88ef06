"""Small wrappers: bring observations into the two forms that networks take, and keep final ones."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from a2c.envs.converting.actions import Unpacker
from a2c.envs.converting.observations import Flattener
from a2c.machine.processes.failure_report import ContractError


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


class Image(gym.ObservationWrapper[NDArray[Any], Any, Any]):
    """Turns a grey image ``[H, W]``, an image of floats or a stack of images ``[K, H, W, C]`` into ``[C, H, W]``.

    Floats up to 255 are divided by it, so that all floats are in [0, 1].

    Args:
        env: the environment.
        channels_last: whether colours are the last axis of an image that has them.
    """

    def __init__(self, env: gym.Env[Any, Any], channels_last: bool) -> None:
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, Box)
        self._shape, self._last = space.shape, channels_last
        self._divisor = 1 if space.dtype == np.uint8 else max(1.0, float(space.high.max()))
        self._dtype = np.uint8 if space.dtype == np.uint8 else np.float32
        low, high = self.observation(space.low), self.observation(space.high)
        self.observation_space = Box(low, high, dtype=self._dtype)

    def observation(self, observation: Any) -> NDArray[Any]:
        values = np.asarray(observation)
        if values.shape != self._shape:
            raise ContractError(f"returned an observation of shape {values.shape}, but its space has {self._shape},")
        if values.ndim == 2:
            values = values[None]
        elif self._last:
            values = np.moveaxis(values, -1, -3)
        values = values.reshape(-1, *values.shape[-2:])
        if self._divisor != 1:
            values = values / self._divisor
        return np.ascontiguousarray(values, self._dtype)


class Flat(gym.ObservationWrapper[NDArray[np.float32], Any, Any]):
    """Turns observations of any known space into float32 vectors (:class:`Flattener`)."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._flatten = Flattener(env.observation_space)
        self.observation_space = self._flatten.space  # type: ignore[assignment]

    def observation(self, observation: Any) -> NDArray[np.float32]:
        return self._flatten(observation)


class Packed(gym.ActionWrapper[Any, Any, Any]):
    """Takes rows of numbers for actions of several parts, or of a shape of their own (:class:`Unpacker`)."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._unpack = Unpacker(env.action_space)
        self.action_space = self._unpack.space

    def action(self, action: NDArray[Any]) -> Any:
        return self._unpack(action)


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
