"""The loop of :func:`a2c.trainer.train` without a run folder, for who wants to look on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from a2c.config import Config
from a2c.device_rollout import AnyCollector
from a2c.learner import Learner
from a2c.rollout import Rollout
from a2c.state import TrainState
from a2c.trainer import build, make_envs


def training(
    cfg: Config, learned_from: Callable[[Rollout], Rollout] = lambda rollout: rollout
) -> Iterator[tuple[TrainState, Learner, AnyCollector]]:
    """Train until ``cfg.total_steps``.

    Args:
        cfg: the settings.
        learned_from: what an update learns from, given the rollout that was just collected.

    Yields:
        Where training is, before the first update and after every one.
    """
    with make_envs(cfg) as envs:
        learner, collector = build(cfg, envs)
        state = TrainState()
        yield state, learner, collector
        while state.env_steps < cfg.total_steps:
            rollout = collector.collect(state.update)
            learner.update(learned_from(rollout), state.env_steps)
            state = state.after(rollout)
            yield state, learner, collector
