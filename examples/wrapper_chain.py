"""Wrappers by name, of Gymnasium and of this file, around an environment of this file.

python examples/wrapper_chain.py

On the command line, in the folder of this file, the same training is

a2c train env.id=wrapper_chain:Walk gif=false total_steps=20_000 num_envs=8 \
    'env.wrappers=[gymnasium.wrappers.FlattenObservation, {wrapper_chain:Repeat: {times: 2}}]'
"""

import sys

import gymnasium as gym
import numpy as np

import a2c


class Walk(gym.Env):
    """A random walk on a grid that should stay near its middle."""

    observation_space = gym.spaces.Dict(
        {"place": gym.spaces.Box(-1, 1, (2,), np.float32), "late": gym.spaces.Discrete(2)}
    )
    action_space = gym.spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = self.np_random.integers(-3, 4, 2), 0
        return self._seen(), {}

    def step(self, action):
        self.place = np.clip(self.place + [(1, 0), (-1, 0), (0, 1), (0, -1)][action], -5, 5)
        self.steps += 1
        return self._seen(), -float(np.abs(self.place).sum()) / 10, False, self.steps == 40, {}

    def _seen(self):
        return {"place": (self.place / 5).astype(np.float32), "late": int(self.steps > 20)}


class Repeat(gym.Wrapper):
    """Takes every action several times."""

    def __init__(self, env: gym.Env, times: int) -> None:
        super().__init__(env)
        self.times = times

    def step(self, action):
        total = 0.0
        for _ in range(self.times):
            obs, reward, terminated, truncated, info = self.env.step(action)
            total += reward
            if terminated or truncated:
                break
        return obs, total, terminated, truncated, info


if __name__ == "__main__":
    chain = "[gymnasium.wrappers.FlattenObservation, {wrapper_chain:Repeat: {times: 2}}]"
    settings = ["env.id=wrapper_chain:Walk", f"env.wrappers={chain}", "total_steps=20_000", "num_envs=8"]
    summary = a2c.train(a2c.load_config(*settings, "gif=false", "wandb.mode=disabled", *sys.argv[1:]))
    print(f"{summary.eval_mean:.2f} +- {summary.eval_std:.2f}")
