"""What an environment does under random actions, written down."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from a2c.envs.converting.masks import made_legal
from a2c.envs.single.checked import Checked

Env = gym.Env[Any, Any]
MOST_KEPT = 2000  # observations, evenly spread over the steps


@dataclass(slots=True)
class Recording:
    """Random play, over several episodes."""

    observations: NDArray[Any]  # [K, *obs]  some of those that were seen, K at most MOST_KEPT
    rewards: NDArray[np.float64]  # [S]
    lengths: list[int] = field(default_factory=list)  # of the episodes that ended
    truncated: list[bool] = field(default_factory=list)  # whether each was cut
    going: int = 0  # steps of the episode that had not ended
    outside: int = 0  # observations outside the bounds of their space
    reused: bool = False  # it returns the same array again and again
    told: frozenset[str] = frozenset()  # keys of its infos
    seconds: float = 0.0


def record(env: Env, steps: int, seconds: float, seed: int = 0) -> Recording:
    """Play an environment at random.

    Args:
        env: the environment; its failures name themselves.
        steps: at most.
        seconds: at most.
        seed: of its first reset and of the actions.

    Raises:
        EnvironmentFailure, NumericError: it raised, or broke its contract.
    """
    checked = Checked(env, "the environment")
    env.action_space.seed(seed)
    kept, rewards, told = [], [], set()
    found = Recording(np.empty(0), np.empty(0))
    obs, info = checked.reset(seed=seed)
    begin = time.perf_counter()
    for step in range(steps):
        told |= set(info)
        if step % max(1, steps // MOST_KEPT) == 0:
            kept.append(np.array(obs))
        found.outside += not env.observation_space.contains(obs)
        action = made_legal(env, env.action_space.sample(), obs)
        before, (obs, reward, terminated, truncated, info) = obs, checked.step(action)
        found.reused |= isinstance(obs, np.ndarray) and np.shares_memory(before, obs)
        rewards.append(reward)
        found.going += 1
        if terminated or truncated:
            told |= set(info)
            found.lengths.append(found.going)
            found.truncated.append(truncated and not terminated)
            found.going = 0
            obs, info = checked.reset()
        if time.perf_counter() - begin > seconds:
            break
    found.seconds = time.perf_counter() - begin
    found.observations, found.rewards, found.told = np.stack(kept), np.asarray(rewards), frozenset(told)
    return found


def first_difference(make: Callable[[], Env], steps: int, seconds: float, seed: int = 0) -> str | None:
    """Where two plays from the same seed, with the same actions, part; None if they do not.

    Three plays: twice in one instance, and once in a new one. Each ends with its first episode, at the latest after
    ``steps`` steps or ``seconds`` seconds.

    Raises:
        EnvironmentFailure, NumericError: as :func:`record`.
    """
    with contextlib.ExitStack() as opened:
        one, other = (opened.enter_context(contextlib.closing(Checked(make(), "the environment"))) for _ in range(2))
        expected = _play(one, steps, seconds, seed)
        for env, where in ((one, "in the same instance"), (other, "in a new instance")):
            for step, (first, second) in enumerate(zip(expected, _play(env, steps, seconds, seed), strict=False)):
                if not _same(first, second):
                    return f"{'the first observation' if step == 0 else f'step {step}'} {where}"
    return None


def _play(checked: Env, steps: int, seconds: float, seed: int) -> list[Any]:
    checked.action_space.seed(seed)
    obs, _ = checked.reset(seed=seed)
    seen: list[Any] = [(np.array(obs), 0.0, False, False)]
    begin = time.perf_counter()
    for _ in range(steps):
        obs, reward, terminated, truncated, _ = checked.step(made_legal(checked, checked.action_space.sample(), obs))
        seen.append((np.array(obs), reward, terminated, truncated))
        if terminated or truncated or time.perf_counter() - begin > seconds:
            break
    return seen


def _same(one: Any, other: Any) -> bool:
    return np.array_equal(one[0], other[0]) and one[1:] == other[1:]
