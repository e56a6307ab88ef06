"""The process of one worker of A3C: it acts and learns until a report is due, then rests until told to go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from gymnasium.envs.registration import registry
from numpy.typing import NDArray
from torch import Tensor

from a2c.clock import OTHER
from a2c.config import Config
from a2c.envs import Episode
from a2c.envs.failure_report import report_failure
from a2c.envs.groups import EnvGroups
from a2c.envs.transport import Parcel, loads
from a2c.envs.worker import COMMAND, answer, become_worker, tell_failure
from a2c.hogwild.learner import AsyncLearner
from a2c.hogwild.shared import RESTS, Shared
from a2c.rollout import Collector
from a2c.spec import spec_of
from a2c.trainer import make_envs, make_model

MOST_LAG = 63  # of the histogram; its last cell holds this lag and more


@dataclass(slots=True)
class Orders:
    """All that a worker must know."""

    worker: int
    first: int  # global index of its first environment
    num_envs: int
    cfg: Config
    shared: Shared
    updates: int  # made before this sitting: noise and episodes go on from there
    collector: Any  # state of its collector, or None
    registry: Parcel  # environments that the main process registered
    environ: dict[str, str]
    parent_pid: int


@dataclass(slots=True)
class Report:
    """What a worker did since its last report."""

    moments: list[Tensor]  # of the losses
    seconds: dict[str, float]  # of each part of the loop
    collector: Any  # state of its collector
    episodes: list[Episode] = field(default_factory=list)  # the latest 100
    ended: int = 0  # episodes, all of them
    lags: NDArray[np.int64] = field(default_factory=lambda: np.zeros(MOST_LAG + 1, np.int64))  # pushes by lag
    lag_sum: int = 0
    lag_max: int = 0


def run_async_worker(orders: Orders, pipe: Connection, lifeline: Connection) -> None:
    """Learn when told to; every exception goes to the main process."""
    become_worker(lifeline, orders.parent_pid, orders.environ)
    cfg = orders.cfg
    try:
        registry.update(orders.registry.open())
        with make_envs(cfg, first=orders.first) as envs:
            assert isinstance(envs, EnvGroups)
            torch.set_num_threads(cfg.threads or 1)  # the other cores have workers of their own
            model = make_model(cfg, spec_of(envs.observation_space, envs.action_space))
            learner = AsyncLearner(model, cfg, orders.shared, orders.worker)
            collector = Collector(envs.groups, model, cfg, orders.updates, first=orders.first)
            if orders.collector is not None:
                collector.load_state_dict(orders.collector)
            answer(pipe, None)
            serve(pipe, sittings(orders, learner, collector))
    except (BrokenPipeError, ConnectionResetError, EOFError):
        pass  # the main process is gone
    except BaseException as error:
        tell_failure(pipe, report_failure(error, None, orders.worker, os.getpid(), "learning"))


def serve(pipe: Connection, reports: Iterator[Report]) -> None:
    """Answer every "learn" with a report; end with "close" or with the main process."""
    while os.read(pipe.fileno(), 1) == COMMAND:
        name, _ = loads(pipe.recv_bytes())
        if name == "close":
            return
        answer(pipe, next(reports))


def sittings(orders: Orders, learner: AsyncLearner, collector: Collector) -> Iterator[Report]:
    """Each ``next`` acts and learns until a report is due, and gives it."""
    shared, clock, update = orders.shared, collector.clock, orders.updates
    while True:
        report = Report(moments=[], seconds={}, collector=None, ended=-collector.episode_count)
        clock.skip()
        shared.current[orders.worker] = orders.first
        while shared.env_steps < shared.due:
            learner.pull()
            lag = learner.push(collector.collect(update))
            update += 1
            report.lags[min(lag, MOST_LAG)] += 1
            report.lag_sum, report.lag_max = report.lag_sum + lag, max(report.lag_max, lag)
            clock.enter(OTHER)
        shared.current[orders.worker] = RESTS
        report.ended += collector.episode_count
        report.episodes = list(collector.episodes)[-report.ended :] if report.ended else []
        report.moments, report.seconds = learner.learner.moments.take(), clock.seconds()
        report.collector = collector.state_dict()
        yield report
