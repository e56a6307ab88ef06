"""Evaluation: whole episodes on separate environments with separate seeds, everything frozen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np

from a2c.envs.foreign import close_all
from a2c.envs.seeding import EVAL, FINAL_EVAL, env_seed
from a2c.envs.single.checked import make_checked
from a2c.envs.single.make_env import has_time_limit
from a2c.envs.single.own import EnvMaker, known
from a2c.maths.trees import tree_map
from a2c.playing.policy import Policy
from a2c.settings.config import EnvConfig

MAX_ENVS = 10  # side by side


@dataclass(frozen=True, slots=True)
class EvalResult:
    """Raw scores of whole episodes.

    Attributes:
        rewards, lengths: the return and the steps of each episode, in the order of the seeds.
        cut: how many of them ``eval.max_steps`` ended.
    """

    rewards: list[float]
    lengths: list[int]
    cut: int = 0

    @property
    def mean(self) -> float:
        """Of the rewards."""
        return float(np.mean(self.rewards))

    @property
    def std(self) -> float:
        """Of the rewards, over all of them."""
        return float(np.std(self.rewards))

    def cuts(self, max_steps: int) -> str:
        """Says which episodes were cut, in a line; empty if none was."""
        if not self.cut:
            return ""
        return f"{self.cut} of {len(self.rewards)} episodes cut at {max_steps:,} steps (eval.max_steps)"


class Evaluator:
    """Plays whole episodes; keeps its environments between evaluations.

    Every episode has its own seed and runs to its end, so that short episodes do not count more often than long ones.
    With a greedy policy the number of environments changes nothing. Only where the environment has no time limit is an
    episode cut, because a greedy policy may go round in circles for ever.

    Args:
        env: which environment.
        episodes: how many there will be; as many environments step side by side, at most ``MAX_ENVS``.
        max_steps: of an episode where the environment has no time limit.

    Raises:
        ConfigError, EnvironmentFailure: as :func:`a2c.envs.make_env`.
    """

    def __init__(self, env: EnvConfig, episodes: int, max_steps: int) -> None:
        self.envs: list[gym.Env[Any, Any]] = []
        try:
            for index in range(min(episodes, MAX_ENVS)):
                self.envs.append(make_checked(env, f"environment {index} of the evaluation"))
        except BaseException:
            self.close()
            raise
        self.limit = None if has_time_limit(env, self.envs[0]) else max_steps

    def run(
        self,
        policy: Policy,
        seeds: list[int],
        *,
        deterministic: bool = True,
        stop: Callable[[], bool] = lambda: False,
        ended: Callable[[int], object] = lambda count: None,
    ) -> EvalResult | None:
        """Play one episode for every seed, side by side.

        Args:
            policy: acts; a memory that it has forgets what it was about.
            seeds: of the episodes.
            deterministic: greedy actions; False samples.
            stop: called before every step; True ends the evaluation.
            ended: called after every episode with how many have ended.

        Returns:
            The scores in the order of the seeds; None if ``stop`` ended it early.

        Raises:
            EnvironmentFailure, NumericError: an environment raised or broke its contract.
        """
        rewards, lengths = [0.0] * len(seeds), [0] * len(seeds)
        waiting, over, cut = iter(range(len(seeds))), 0, 0
        playing: dict[int, int] = {}  # environment -> episode
        obs: dict[int, Any] = {}

        def next_episode(env: int) -> None:
            episode = next(waiting, None)
            playing.pop(env, None)
            if episode is not None:
                playing[env] = episode
                policy.reset([env])
                obs[env], _ = self.envs[env].reset(seed=seeds[episode])

        policy.reset()
        for env in range(len(self.envs)):
            next_episode(env)
        while playing:
            if stop():
                return None
            batch = tree_map(_stacked, *(obs[env] for env in playing))
            actions = policy.choose(batch, deterministic, list(playing))
            for env, action in zip(list(playing), actions, strict=True):
                obs[env], reward, terminated, truncated, _ = self.envs[env].step(action)
                rewards[playing[env]] += float(reward)
                lengths[playing[env]] += 1
                too_long = lengths[playing[env]] == self.limit and not (terminated or truncated)
                cut += too_long
                if terminated or truncated or too_long:
                    next_episode(env)
                    over += 1
                    ended(over)
        policy.reset()  # the next batch may be of another size
        return EvalResult(rewards, lengths, cut)

    def close(self) -> None:
        """Close the environments."""
        close_all({f"environment {index} of the evaluation": env.close for index, env in enumerate(self.envs)})


def _stacked(*parts: Any) -> Any:
    return np.stack(parts)


def eval_seeds(seed: int, episodes: int, *, final: bool = False) -> list[int]:
    """Seeds of an evaluation; ``final`` gives others than those that choose the best checkpoint."""
    return [env_seed(seed, FINAL_EVAL if final else EVAL, episode) for episode in range(episodes)]


def evaluate(
    policy: Policy,
    episodes: int = 20,
    *,
    env: EnvMaker | None = None,
    seed: int | None = None,
    deterministic: bool = True,
    ended: Callable[[int], object] | None = None,
) -> EvalResult:
    """Play whole episodes with a policy, in the environment that it was trained on, and score them.

    ::

        import a2c

        result = a2c.evaluate(a2c.load_policy("latest"), episodes=100)
        print(f"{result.mean:.1f} +- {result.std:.1f}, the worst {min(result.rewards):.1f}")

    With greedy actions the same call gives the same scores.

    Args:
        policy: from :func:`a2c.load_policy`.
        episodes: how many.
        env: what ``a2c.train(cfg, env=...)`` was given, where that was a class or function that no import finds again;
            or another environment of the same spaces. None: the policy's settings say which.
        seed: of the episodes, which are never those of training; None: the seed of training, which gives the episodes
            of the run's final score.
        deterministic: the policy's best action; False draws a sample.
        ended: called after every episode with how many have ended, to show progress; None: nothing is.

    Returns:
        An :class:`a2c.EvalResult`: ``mean``, ``std``, and of each episode ``rewards``, the return without clipping and
        normalisation, and ``lengths`` in steps.

    Raises:
        ConfigError: the environment cannot be made here.
        EnvironmentFailure, NumericError: an environment raised or broke its contract.
    """
    which = policy.cfg.env if env is None else replace(policy.cfg.env, id=known(env))
    evaluator = Evaluator(which, episodes, policy.cfg.eval.max_steps)
    try:
        seeds = eval_seeds(policy.cfg.seed if seed is None else seed, episodes, final=True)
        count = ended or (lambda over: None)
        result = evaluator.run(policy, seeds, deterministic=deterministic, ended=count)
    finally:
        evaluator.close()
    assert result is not None  # nothing asked it to stop
    return result
