"""One worker process of A3C: it acts and learns until a report is due, then rests until told to go on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from a2c.a3c.lags import Lags
from a2c.a3c.learner import AsyncLearner
from a2c.a3c.shared import RESTS, Shared
from a2c.build import make_envs
from a2c.collecting.collector import Collector
from a2c.envs.episodes import Episode
from a2c.errors import NumericError
from a2c.machine.clock import OTHER, LoopClock
from a2c.machine.processes.failure_report import report_failure
from a2c.machine.processes.launch import Registered
from a2c.machine.processes.life import COMMAND, answer, become_worker, tell_failure
from a2c.machine.processes.pickles import Pickled, loads
from a2c.network.making import make_network
from a2c.run.numeric_dump import DUMPED, dump
from a2c.run.state import TrainState
from a2c.settings.config import Config


@dataclass(slots=True)
class WorkerSpec:
    """All that a worker needs to know."""

    worker: int
    first: int  # global index of its first environment
    cfg: Config
    shared: Shared
    updates: int  # made before this session: noise and episodes go on from there
    collector: Any  # state of its collector, or None
    folder: Path | None  # of the run, for the dump of a numeric error
    network: Pickled  # makes a network of the user's, or None
    keys: Sequence[str] | None  # of last infos: report every episode that ends with these; None: all; empty: none
    registered: Registered  # environments that the main process registered
    environ: dict[str, str]
    parent_pid: int


@dataclass(slots=True)
class Report:
    """What a worker did since its last report."""

    metrics: list[Tensor]  # sums of the losses
    seconds: dict[str, float]  # of each part of the loop
    collector: Any  # state of its collector
    episodes: list[Episode] = field(default_factory=list)  # the latest ones
    kept: list[Episode] = field(default_factory=list)  # all, where somebody wants to see them
    ended: int = 0  # episodes that ended
    lags: Lags = field(default_factory=Lags)


def run_async_worker(spec: WorkerSpec, pipe: Connection, life_line: Connection) -> None:
    """Make environments, network and learner, then learn when told to; report every exception to the main process."""
    become_worker(life_line, spec.parent_pid, spec.environ)
    cfg = replace(spec.cfg, log_info=[])  # the main process makes the means
    try:
        spec.registered.register()
        with make_envs(cfg, first=spec.first) as envs:
            if spec.worker:  # one of them remarks upon the environments
                envs.remarks.tell = lambda line: None
            torch.set_num_threads(cfg.threads or 1)  # the other cores have workers of their own
            network = make_network(cfg, envs.spaces, spec.network.open())
            clock = LoopClock(torch.device("cpu"))
            learner = AsyncLearner(network, cfg, spec.shared, spec.worker, clock)
            collector = envs.make_collector(network, cfg, spec.updates, clock=clock)
            if spec.keys is None or spec.keys:
                collector.ended.keep(spec.keys)
            came = None if spec.collector is None else collector.load_state_dict(spec.collector)
            answer(pipe, came)
            with numeric_errors_dumped(spec, learner):
                serve(pipe, report_periods(spec, learner, collector), collector)
    except (BrokenPipeError, ConnectionResetError, EOFError):
        pass  # the main process is gone
    except BaseException as error:
        tell_failure(pipe, report_failure(error, None, spec.worker, os.getpid(), "learning"))


@contextlib.contextmanager
def numeric_errors_dumped(spec: WorkerSpec, learner: AsyncLearner) -> Iterator[None]:
    """Write a dump here, where rollout and weights are, and let the error travel without them."""
    try:
        yield
    except NumericError as error:
        if spec.folder is not None:
            state = TrainState(spec.shared.env_steps, spec.shared.updates)
            dump(error, spec.cfg, learner.learner, state, spec.folder, f"-worker{spec.worker}")
        error.evidence = {DUMPED: True}
        raise


def serve(pipe: Connection, reports: Iterator[Report], collector: Collector) -> None:
    """Answer every "learn" with the next report, and every "call" with what the environments gave and the state after.

    End at "close" or with the main process.
    """
    while os.read(pipe.fileno(), 1) == COMMAND:
        name, data = loads(pipe.recv_bytes())
        if name == "close":
            return
        if name == "call":
            answer(pipe, (collector.call(data), collector.state_dict()))
        else:
            answer(pipe, next(reports))


def report_periods(spec: WorkerSpec, learner: AsyncLearner, collector: Collector) -> Iterator[Report]:
    """Act and learn until a report is due, then yield it; each ``next`` does so again."""
    shared, clock, update = spec.shared, collector.clock, spec.updates
    while True:
        report = Report(metrics=[], seconds={}, collector=None, ended=-collector.episode_count)
        clock.skip()
        shared.current[spec.worker] = spec.first
        while shared.env_steps < shared.due:
            learner.pull()
            lag = learner.push(collector.collect(update))
            update += 1
            report.lags.add(lag)
            clock.enter(OTHER)
        shared.current[spec.worker] = RESTS
        report.ended += collector.episode_count
        report.episodes = list(collector.episodes)[-report.ended :] if report.ended else []
        report.kept = collector.ended.kept()
        collector.ended.forget()  # the main process has them now
        report.metrics, report.seconds = learner.learner.metrics.take(), clock.seconds()
        report.collector = collector.state_dict()
        yield report
