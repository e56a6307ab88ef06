"""What comes without any learning: of actions drawn at random, and of doing nothing."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from a2c.api import load_config
from a2c.envs.single.checked import Checked, make_checked

EPISODES = 100
SEED = 10_000  # of the first episode


def untrained_scores(overrides: list[str], idle: int | None, episodes: int = EPISODES) -> dict[str, float | None]:
    """Mean returns: ``random``, and ``idle``, which is no force at all where actions are continuous.

    Args:
        overrides: of `a2c train`; what matters is the environment.
        idle: the discrete action that does nothing; None: there is none.
        episodes: of either.
    """
    env = make_checked(load_config(*overrides).env, "the environment")
    space = env.action_space
    space.seed(SEED)
    found = {"random": _mean_return(env, space.sample, episodes), "idle": None}
    if isinstance(space, Box):
        still = np.clip(np.zeros(space.shape, space.dtype), space.low, space.high)
        found["idle"] = _mean_return(env, still.copy, episodes)
    elif idle is not None:
        found["idle"] = _mean_return(env, lambda: idle, episodes)
    env.close()
    return found


def _mean_return(env: Checked, act: Callable[[], Any], episodes: int) -> float:
    return fmean(_return(env, act, SEED + number) for number in range(episodes))


def _return(env: Checked, act: Callable[[], Any], seed: int) -> float:
    env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        _, reward, terminated, truncated, _ = env.step(act())
        total, over = total + reward, terminated or truncated
    return total
