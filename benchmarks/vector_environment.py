"""How long a lockstep step takes: our vector environment beside Gymnasium's, on CartPole-v1 with random actions.

    python benchmarks/vector_environment.py [N ...]

The two take turns, and the median of the rounds counts, so that a busy machine slows both.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv

from a2c.envs import ShardedAsyncVectorEnv

ROUNDS = 5
ENV_STEPS = 4000  # of each class in each round


def started(kind: Any, num_envs: int) -> tuple[Any, float]:
    begin = time.perf_counter()
    envs = kind([partial(gym.make, "CartPole-v1")] * num_envs, autoreset_mode="SameStep")
    seconds = time.perf_counter() - begin
    envs.reset(seed=0)
    envs.action_space.seed(0)
    return envs, seconds


def seconds_per_step(envs: Any, actions: list[Any], steps: int) -> float:
    begin = time.perf_counter()
    for k in range(steps):
        envs.step(actions[k % len(actions)])
    return (time.perf_counter() - begin) / steps


def compare(num_envs: int) -> None:
    ours, start_ours = started(ShardedAsyncVectorEnv, num_envs)
    theirs, start_theirs = started(AsyncVectorEnv, num_envs)
    actions = [ours.action_space.sample() for _ in range(50)]
    steps = max(ENV_STEPS // num_envs, 4)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS + 1):
        for envs, kept in zip((ours, theirs), times, strict=True):
            kept.append(seconds_per_step(envs, actions, steps))
    ours.close()
    theirs.close()
    fast, slow = (statistics.median(kept[1:]) for kept in times)  # the first round warms up
    print(
        f"N={num_envs}: step {fast * 1e3:.2f} ms, Gymnasium {slow * 1e3:.2f} ms, {slow / fast:.1f} times; "
        f"start {start_ours:.2f} s, Gymnasium {start_theirs:.2f} s; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    for count in map(int, sys.argv[1:] or ("16", "128", "512")):
        compare(count)
