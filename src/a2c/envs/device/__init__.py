"""Vector environments whose arrays live on the learner's device (``vectorization=device``).

Importing this package registers our own; only making one imports torch or jax.
"""

from __future__ import annotations

import gymnasium as gym

gym.register(
    "CartPoleDevice-v1",
    entry_point="gymnasium.envs.classic_control.cartpole:CartPoleEnv",  # the same physics: evaluation, videos
    vector_entry_point="a2c.envs.device.cartpole:CartPole",
    max_episode_steps=500,
    reward_threshold=475.0,
)
