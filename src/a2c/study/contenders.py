"""The ways to fill a batch that the claim on replay compares: their training runs and their learning rates."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from a2c.playing.evaluation import Evaluator, eval_seeds
from a2c.playing.policy import Policy
from a2c.run.statistics import iqm
from a2c.settings.compose import load_config
from a2c.settings.config import Config
from a2c.study.parallel import each
from a2c.study.replay_memory import Memory, replaying
from a2c.trainer import training

STEPS = 8_000  # env steps of every run of every method; the learning rates were chosen for this number
ENVS, T = 8, 8  # N and T of A2C; T of AC with n steps too
ROWS = ENVS * T  # transitions of a batch from the memory: as large as A2C's
CAPACITY = 1_000  # of the memory: some ten episodes, since nothing corrects for older policies
RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]
TUNING_SEEDS = range(500_000, 500_006)
POINTS, LATE, EPISODES = 6, 3, 5  # evaluations of a run, those that score it, episodes of each


@dataclass(frozen=True, slots=True)
class Method:
    """A way to fill the batch of an update."""

    num_envs: int
    n_step: int
    memory: bool = False
    runs: int = 3  # for every seed of the study, at scale 1: scores differ much from run to run


METHODS = {
    "AC, one step": Method(1, 1, runs=2),  # the slowest by far
    "AC, n steps": Method(1, T),
    "AC with replay": Method(1, T, memory=True),
    "A2C": Method(ENVS, T, runs=6),  # the quickest, in every comparison
}
# Interquartile mean of the scores of six runs at each rate, on separate seeds: see tune. For the three quick methods,
# 24 runs at each rate from 1e-3 to 1e-2 chose the same rates.
TUNED = {
    "AC, one step": [38, 59, 97, 33, 9, 9],
    "AC, n steps": [23, 54, 249, 343, 93, 12],
    "AC with replay": [24, 55, 50, 135, 69, 18],
    "A2C": [23, 23, 28, 166, 233, 69],
}


@dataclass(frozen=True, slots=True)
class Run:
    """One training run."""

    method: str
    lr: float
    seed: int
    steps: int


def tune(jobs: int | None = None) -> dict[str, list[float]]:
    """Measure again what ``TUNED`` holds; takes some six minutes on two cores."""
    runs = [Run(name, lr, seed, STEPS) for name in METHODS for lr in RATES for seed in TUNING_SEEDS]
    scores = np.reshape([final(curve) for curve in each(train, runs, jobs)], (len(METHODS), len(RATES), -1))
    return dict(zip(METHODS, np.round(iqm(scores, axis=2)).tolist(), strict=True))


def rate(name: str) -> float:
    """The learning rate of a method: the best in ``TUNED``."""
    return RATES[int(np.argmax(TUNED[name]))]


def train(run: Run) -> list[float]:
    """Train once; returns the mean return at each of :func:`marks`, with actions drawn as in training."""
    method = METHODS[run.method]
    cfg = replace(config(method), lr=run.lr, seed=run.seed, total_steps=run.steps)
    evaluator, episodes = Evaluator(cfg.env, EPISODES, cfg.eval.max_steps), eval_seeds(run.seed, EPISODES)
    scores: list[float] = []
    policy: Policy | None = None
    due = marks(run.steps)
    try:
        loop = training(cfg, replaying(Memory(CAPACITY, run.seed), ROWS)) if method.memory else training(cfg)
        for state, learner, _ in loop:
            policy = policy or Policy(learner.model, cfg)  # one for all evaluations: its generator goes on
            while len(scores) < POINTS and state.env_steps >= due[len(scores)]:
                result = evaluator.run(policy, episodes, deterministic=False)
                assert result is not None  # nothing asked it to stop
                scores.append(result.mean)
    finally:
        evaluator.close()
    return scores


def marks(steps: int) -> list[int]:
    """Env steps at which a run is evaluated, the last at its end."""
    return [round(steps * (k + 1) / POINTS) for k in range(POINTS)]


@functools.cache
def config(method: Method) -> Config:
    """env=cartpole_study for all methods, with n-step returns, and without standardised advantages or clipping.

    Standardising would make the advantage of a batch of one 0, and clipping harms small batches (conf/algo/ac.yaml).
    """
    plain = ("vectorization=sync", "device=cpu", "compile=false")
    loss = ("normalize_advantage=false", "gae_lambda=1", "max_grad_norm=null")
    return load_config("env=cartpole_study", *plain, *loss, f"num_envs={method.num_envs}", f"n_step={method.n_step}")


def final(curve: list[float]) -> float:
    """The score of a run: the mean of its last evaluations, since a single one says little."""
    return float(np.mean(curve[-LATE:]))
