"""A policy that remembers, in a loop of your own: ``reset`` where an episode begins, then ``act``.

python examples/memory_in_your_loop.py
"""

import sys

import gymnasium as gym
import numpy as np

import a2c


def play(policy: a2c.Policy, envs: gym.vector.SyncVectorEnv, steps: int) -> list[float]:
    """Play several environments at once, each with its own memory; returns the returns of finished episodes."""
    obs, _ = envs.reset(seed=1)
    policy.reset()  # an episode begins in every row
    totals, finished = np.zeros(envs.num_envs), []
    for _ in range(steps):
        obs, rewards, terminated, truncated, _ = envs.step(policy.act(obs))
        totals += rewards
        ended = np.flatnonzero(terminated | truncated)
        finished += totals[ended].tolist()
        totals[ended] = 0.0
        policy.reset(ended.tolist())  # in these rows another one does; the others remember
    return finished


if __name__ == "__main__":
    settings = ["env=cartpole", "network.memory=lstm", "network.memory_size=16", "total_steps=20_000"]
    summary = a2c.train(a2c.load_config(*settings, "gif=false", "wandb.mode=disabled", *sys.argv[1:]))
    policy = a2c.load_policy(summary.folder)

    env = gym.make("CartPole-v1")  # one environment
    obs, _ = env.reset(seed=0)
    policy.reset()
    total, over = 0.0, False
    while not over:
        obs, reward, terminated, truncated, _ = env.step(policy.act(obs))
        total, over = total + float(reward), terminated or truncated
    print(f"alone: {total:.0f}")

    same_step = gym.vector.AutoresetMode.SAME_STEP  # a row's next observation is the first of its new episode
    envs = gym.vector.SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 4, autoreset_mode=same_step)
    print(f"four at once: {np.mean(play(policy, envs, 500)):.0f}")
