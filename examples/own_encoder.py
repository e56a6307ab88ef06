"""An encoder of your own for one part of an observation, and a torso of your own for all of it.

python examples/own_encoder.py
cd examples && a2c train env.id=own_encoder:Seek-v0 network.encoders.map=own_encoder:Patches optimizer=adam lr=3e-3
"""

from __future__ import annotations

import sys
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from torch import Tensor, nn

import a2c


class Seek(gym.Env[Any, Any]):
    """Walk on a map to its one bright field; it shows the map around, and how much time is left."""

    SIDE = 9

    def __init__(self) -> None:
        view = Box(0, 255, (self.SIDE, self.SIDE, 1), np.uint8)
        self.observation_space = Dict({"map": view, "clock": Box(0, 1, (1,), np.float32)})
        self.action_space = Discrete(4)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.way, self.left = self.np_random.integers(-3, 4, 2), 20
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.way = np.clip(self.way - [(0, 1), (0, -1), (1, 0), (-1, 0)][int(action)], -4, 4)
        self.left -= 1
        there = not self.way.any()
        return self._obs(), float(there), there, self.left == 0, {}

    def _obs(self) -> dict[str, Any]:
        view = np.zeros((self.SIDE, self.SIDE, 1), np.uint8)
        view[tuple(self.way + self.SIDE // 2)] = 255
        return {"map": view, "clock": np.array([self.left / 20], np.float32)}


gym.register("Seek-v0", Seek)


class Patches(nn.Module):
    """Called with the shape of its part, here (1, 9, 9): ``[B, *shape]`` -> features ``[B, F]``, of any number."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(shape[0], 16, 3, stride=3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(32))

    def forward(self, obs: Tensor) -> Tensor:
        """Small images arrive as floats from 0 to 255: their bytes may be symbols."""
        return self.layers(obs / 255).relu()


class Wide(nn.Module):
    """The same, as a torso: it reads the whole observation as one vector, and ``network.torso`` names it."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer = nn.Linear(shape[0], 256)

    def forward(self, obs: Tensor) -> Tensor:
        """``[B, *shape]`` -> ``[B, 256]``."""
        return self.layer(obs).relu()


def main(*overrides: str) -> a2c.Summary:
    """Train; ``trust`` lets a loaded policy import what the checkpoint names."""
    named = ("env.id=own_encoder:Seek-v0", "network.encoders.map=own_encoder:Patches")
    quick = ("total_steps=50_000", "optimizer=adam", "lr=3e-3", "gif=false")
    summary = a2c.train(a2c.load_config(*named, *quick, *overrides))
    print(a2c.evaluate(a2c.load_policy(summary.folder, trust=True), episodes=5).mean)
    return summary


if __name__ == "__main__":
    main(*sys.argv[1:])
