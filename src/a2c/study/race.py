"""AC, A3C and A2C race from the same settings: returns on the way, by env steps and by the clock."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from a2c.a3c.loop import build as build_async
from a2c.a3c.loop import of_worker
from a2c.a3c.team import Team
from a2c.learning.learner import Learner
from a2c.playing.evaluation import evaluate
from a2c.playing.policy import Policy
from a2c.run.state import TrainState
from a2c.settings.config import Config
from a2c.trainer import training

EPISODES = 20  # to score the policy that training ends with


@dataclass(slots=True)
class Run:
    """One run: the mean return of the latest 100 episodes on the way, and the score of its last policy."""

    steps: list[int] = field(default_factory=list)  # [P]
    seconds: list[float] = field(default_factory=list)  # [P] of training alone
    returns: list[float] = field(default_factory=list)  # [P]
    score: float = 0.0


def run(cfg: Config, points: int) -> Run:
    """Train by ``cfg.algo``, without a run folder; the time to start processes and environments does not count.

    Args:
        cfg: the settings.
        points: P points of the curve, at equal distances in env steps.
    """
    found, began = Run(), time.perf_counter()
    marks = [cfg.total_steps * (point + 1) // points for point in range(points)]
    train = _asynchronous if cfg.algo == "a3c" else _synchronous
    for learner, state, metrics in train(cfg, marks):
        if state.env_steps == 0:
            began = time.perf_counter()
        elif "rollout/ep_rew_mean" in metrics:
            found.steps.append(state.env_steps)
            found.seconds.append(time.perf_counter() - began)
            found.returns.append(metrics["rollout/ep_rew_mean"])
        last = learner.model
    found.score = evaluate(Policy(last, cfg), EPISODES, deterministic=False).mean
    return found


Progress = Iterator[tuple[Learner, TrainState, dict[str, Any]]]


def _synchronous(cfg: Config, marks: list[int]) -> Progress:
    due = deque(marks)
    for state, learner, collector in training(cfg):
        if state.env_steps == 0:
            yield learner, state, {}
        while due and state.env_steps >= due[0]:
            due.popleft()
            yield learner, state, collector.metrics()


def _asynchronous(cfg: Config, marks: list[int]) -> Progress:
    assert cfg.num_workers is not None
    learner, state = build_async(cfg), TrainState()
    with Team(of_worker(cfg), learner, cfg.num_workers) as team:
        team.start(state)
        yield learner, state, {}
        for mark in marks:
            state = team.learn(state, mark, _go_on)
            yield learner, state, team.metrics()


def _go_on(env_steps: int) -> bool:
    return False
