"""An environment that forbids some actions: a2c finds the mask, and neither acts nor learns against it.

python examples/masks.py
"""

import sys

import gymnasium as gym
import numpy as np

import a2c


class Draws(gym.Env):
    """Take one of the numbers that are left; each is worth what it says, and none can be taken twice."""

    observation_space = gym.spaces.Box(0, 1, (6,), np.float32)
    action_space = gym.spaces.Discrete(6)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = np.ones(6, bool)
        return self._seen(), {}

    def step(self, action):
        assert self.left[action], "it was taken before"
        weight = 0.9 ** (6 - self.left.sum())  # so that the big ones should come first
        self.left[action] = False
        return self._seen(), float(action * weight), not self.left.any(), False, {}

    def action_masks(self):
        """What may be done now, ``[6]`` bool."""
        return self.left.copy()

    def _seen(self):
        return self.left.astype(np.float32)


if __name__ == "__main__":
    settings = ["total_steps=20_000", "num_envs=8", "gif=false", "wandb.mode=disabled", *sys.argv[1:]]
    summary = a2c.train(a2c.load_config(*settings, env=Draws))
    print(f"{summary.eval_mean:.2f} +- {summary.eval_std:.2f}, best is {sum(k * 0.9 ** (5 - k) for k in range(6)):.2f}")
