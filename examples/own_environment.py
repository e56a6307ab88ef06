"""An environment of your own, as a class: train on it, load the policy, measure it again.

python examples/own_environment.py
"""

import sys

import gymnasium as gym
import numpy as np

import a2c


class Corridor(gym.Env):
    """Walk to the right end of a corridor; a step costs 0.1, the end gives 1."""

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, length: int = 6, render_mode: str | None = None) -> None:
        self.observation_space = gym.spaces.Box(0, 1, (2,), np.float32)
        self.action_space = gym.spaces.Discrete(2)  # left, right
        self.length, self.render_mode = length, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(self.length // 2)), 0
        return self._seen(), {}

    def step(self, action):
        self.place, self.steps = max(0, self.place + (1 if action == 1 else -1)), self.steps + 1
        there = self.place == self.length
        # The world ends where it ends by itself; the clock is something else, and the learner has to know which.
        return self._seen(), 1.0 if there else -0.1, there, self.steps == 50, {}

    def render(self):
        picture = np.zeros((20, 20 * (self.length + 1), 3), np.uint8)
        picture[:, 20 * self.place : 20 * (self.place + 1)] = 255
        return picture

    def _seen(self):
        return np.array([self.place / self.length, 1.0], np.float32)


if __name__ == "__main__":
    # The command line's settings, and any further ones: python examples/own_environment.py total_steps=5_000
    settings = ["total_steps=20_000", "num_envs=8", "wandb.mode=disabled", *sys.argv[1:]]
    summary = a2c.train(a2c.load_config(*settings, env=Corridor))
    policy = a2c.load_policy(summary.folder)
    result = a2c.evaluate(policy, episodes=10, env=Corridor)
    print(f"{result.mean:.2f} +- {result.std:.2f}")
