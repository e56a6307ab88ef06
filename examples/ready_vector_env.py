"""A vector environment that is there already: a2c trains on it as it is, and leaves it open.

python examples/ready_vector_env.py
"""

import sys

import gymnasium as gym

import a2c


def one(**arguments) -> gym.Env:
    """A single one, for evaluations and agent.gif: of the same spaces. Scores are of its rewards."""
    return gym.make("Pendulum-v1", **arguments)


if __name__ == "__main__":
    envs = gym.make_vec("Pendulum-v1", num_envs=8, vectorization_mode="sync")
    envs = gym.wrappers.vector.TransformReward(envs, lambda rewards: rewards / 10)
    settings = ["env=pendulum", "total_steps=20_000", "wandb.mode=disabled", *sys.argv[1:]]
    summary = a2c.train(a2c.load_config(*settings), env=envs, eval_env=one)
    envs.close()
    print(f"{summary.eval_mean:.2f} +- {summary.eval_std:.2f}")
