"""A replay memory, which parallel environments are said to replace, and training from it."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from a2c.config import Config
from a2c.policy import Policy
from a2c.rollout import Rollout
from a2c.state import TrainState
from a2c.study.batches import columns, joined, one_step
from a2c.trainer import build, make_envs


class Memory:
    """The latest transitions, drawn from uniformly, with replacement.

    Nothing corrects for their age: an actor-critic that learns from them takes actions of older policies for its own.

    Args:
        capacity: transitions that are kept.
        seed: of the draws.
    """

    def __init__(self, capacity: int, seed: int) -> None:
        self._capacity, self._random = capacity, torch.Generator().manual_seed(seed)
        self._kept: Rollout | None = None

    def add(self, rollout: Rollout) -> None:
        """Keep the transitions of a rollout, and forget the oldest."""
        new = one_step(rollout)
        kept = joined(new) if self._kept is None else joined(self._kept, new)  # a collector overwrites its memory
        self._kept = columns(kept, slice(-self._capacity, None))

    def sample(self, count: int) -> Rollout:
        """``[1, count]`` transitions."""
        assert self._kept is not None
        here = self._kept.rewards.shape[1]
        return columns(self._kept, torch.randint(here, (count,), generator=self._random))


def training(cfg: Config, memory: Memory | None = None, rows: int = 0) -> Iterator[tuple[int, Policy]]:
    """The loop of :func:`a2c.trainer.train`, without a run folder.

    Args:
        cfg: the settings.
        memory: keeps every rollout; what an update learns from is then drawn from it.
        rows: how many transitions are drawn.

    Yields:
        Env steps so far and the policy, after every update.
    """
    with make_envs(cfg) as envs:
        learner, collector = build(cfg, envs)
        policy, state = Policy(learner.model, cfg), TrainState()
        while state.env_steps < cfg.total_steps:
            rollout = batch = collector.collect(state.update)
            if memory is not None:
                memory.add(rollout)
                batch = memory.sample(rows)
            learner.update(batch, state.env_steps)
            state = state.after(rollout)
            yield state.env_steps, policy
