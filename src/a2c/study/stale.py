"""Learning with stale weights: A3C's workers taking turns at random, and A2C with a fixed delay."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from a2c.a3c.learner import AsyncLearner
from a2c.a3c.loop import build
from a2c.a3c.shared import Shared
from a2c.build import make_envs
from a2c.collecting.collector import Collector
from a2c.learning.learner import Learner
from a2c.network.flat_weights import gradient_of
from a2c.network.making import make_network
from a2c.settings.config import Config
from a2c.study.measures.gradients import cosine


@dataclass(frozen=True, slots=True)
class Push:
    """One update of the shared weights."""

    lag: int  # updates of others since the worker's pull
    cosine: float  # between the applied gradient and the one at the shared weights of that moment


def chance_workers(cfg: Config, workers: int, pushes: int) -> Iterator[Push]:
    """A3C in one process: at every turn a random worker pushes the gradient of its rollout, pulls and collects again.

    Equal workers that never wait behave like that. The lag is then geometric, with mean ``workers - 1``.

    Args:
        cfg: settings of each worker.
        workers: how many.
        pushes: how many in all.

    Yields:
        Every push.
    """
    draw = np.random.default_rng(cfg.seed)
    main = build(cfg)
    shared = Shared(main, workers, shared_statistics=cfg.shared_statistics)
    shared.publish(main)
    probe = Learner(make_network(cfg, main.model.spaces), cfg, optimizer=lambda cfg, weights: _Still())
    with contextlib.ExitStack() as stack:
        learners = [AsyncLearner(make_network(cfg, main.model.spaces), cfg, shared, index) for index in range(workers)]
        actors = [_actor(cfg, learner, index * cfg.num_envs, stack) for index, learner in enumerate(learners)]
        rollouts = [actor.collect(0) for actor in actors]
        collected = [1] * workers
        for _ in range(pushes):
            worker = int(draw.integers(workers))
            learner, rollout = learners[worker], rollouts[worker]
            probe.weights.data.copy_(shared.weights)
            probe.update(rollout, shared.env_steps)
            lag = learner.push(rollout)
            yield Push(lag, cosine(gradient_of(learner.learner.weights), gradient_of(probe.weights)))
            learner.pull()
            rollouts[worker] = actors[worker].collect(collected[worker])
            collected[worker] += 1


def delayed(cfg: Config, delay: int) -> Learner:
    """A2C that acts and computes its gradients with the weights of ``delay`` updates ago.

    Returns:
        The learner at the end, with the latest weights.
    """
    main = build(cfg)
    shared = Shared(main, 1)
    shared.publish(main)
    with contextlib.ExitStack() as stack:
        learner = AsyncLearner(make_network(cfg, main.model.spaces), cfg, shared, 0)
        actor = _actor(cfg, learner, 0, stack)
        before = deque([shared.weights.clone()], maxlen=delay + 1)  # learn with the oldest
        while shared.env_steps < cfg.total_steps:
            learner.learner.weights.data.copy_(before[0])
            learner.push(actor.collect(shared.updates))
            before.append(shared.weights.clone())
    shared.read_into(main)
    return main


def _actor(cfg: Config, learner: AsyncLearner, first: int, stack: contextlib.ExitStack) -> Collector:
    """What a worker acts with, on environments of its own that ``stack`` closes."""
    envs = stack.enter_context(make_envs(cfg, first=first))
    collector: Collector = envs.make_collector(learner.learner.model, cfg)
    return collector


class _Still:
    """An optimizer that leaves the weights as they are."""

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}

    def clip(self, max_norm: Tensor | float | None) -> Tensor:
        return torch.zeros(())

    def step(self, lr: Tensor | float) -> None:
        pass
