"""CartPole of EnvPool: its C++ threads step all environments, in this process.

pip install "a2c[envpool]"
python examples/with_envpool.py

On the command line: a2c train env=cartpole env.id=EnvPool/CartPole-v1. Any other of its ids likewise, like
EnvPool/Pong-v5; env.kwargs holds what envpool.make takes. A pool that a program makes itself is a ready vector
environment, see ready_vector_env.py.
"""

import sys

import a2c

if __name__ == "__main__":
    settings = ["env=cartpole", "env.id=EnvPool/CartPole-v1", "num_envs=16", "gif=false", "wandb.mode=disabled"]
    summary = a2c.train(a2c.load_config(*settings, *sys.argv[1:]))
    result = a2c.evaluate(a2c.load_policy(summary.folder), episodes=10)  # single ones, from seeds of their own
    print(f"{result.mean:.1f} +- {result.std:.1f} after {summary.env_steps:,} steps")
