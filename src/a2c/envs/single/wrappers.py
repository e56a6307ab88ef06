"""Small wrappers: bring observations into the two forms that networks take, and keep final ones."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from a2c.envs.converting.actions import Unpacker
from a2c.envs.converting.images import ImageLayout, Reading
from a2c.envs.converting.observations import Flattener


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


class Image(gym.ObservationWrapper[NDArray[Any], Any, Any]):
    """Turns images of any layout into ``[C, H, W]``, uint8 or float32 in [0, 1]."""

    def __init__(self, env: gym.Env[Any, Any], layout: ImageLayout) -> None:
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, Box)
        self._convert = layout.convert
        self.observation_space = Box(layout.convert(space.low), layout.convert(space.high), dtype=layout.dtype)  # type: ignore[arg-type]

    def observation(self, observation: Any) -> NDArray[Any]:
        return self._convert(observation)


class Flat(gym.Wrapper[NDArray[np.float32], Any, Any, Any]):
    """Turns observations of any known space into float32 vectors (:class:`Flattener`).

    No ObservationWrapper, whose further call at every step costs as much as a small observation itself.
    """

    def __init__(self, env: gym.Env[Any, Any], reading: Reading) -> None:
        super().__init__(env)
        flattener = Flattener(env.observation_space, reading)
        self._flatten = flattener.for_one_thread()
        self.observation_space = flattener.space  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        obs, info = self.env.reset(seed=seed, options=options)
        return self._flatten(obs), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._flatten(obs), reward, terminated, truncated, info


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
