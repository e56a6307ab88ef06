"""The workers of A3C as the main process sees them."""

from __future__ import annotations

import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from a2c.a3c.lags import Lags
from a2c.a3c.shared import RESTS, Shared
from a2c.a3c.team_clock import TeamClock
from a2c.a3c.worker import Report, WorkerSpec, run_async_worker
from a2c.collecting.ended_episodes import EndedEpisodes
from a2c.collecting.going_on import GO_ON, to_episodes, to_tensor
from a2c.envs.episodes import Episode, episode_means
from a2c.envs.rebuilding.calls import Call
from a2c.errors import EnvironmentFailure
from a2c.learning.learner import Learner
from a2c.machine.clock import UPDATE, LoopClock
from a2c.machine.processes.failure_report import WorkersError
from a2c.machine.processes.foreign_code import of_others
from a2c.machine.processes.launch import Registered, environ_for_workers, multiprocessing_context
from a2c.machine.processes.pickles import Pickled
from a2c.machine.processes.pool import WorkerPool
from a2c.network.making import OwnNetwork
from a2c.run.state import TrainState
from a2c.settings.config import Config

log = logging.getLogger("a2c")

GRACE = 5.0  # seconds beyond env.step_timeout that the rest of a rollout may take


class Team:
    """W workers that learn side by side, and all rest while the run reports, evaluates or saves.

    So every checkpoint is a state that the run went through, and one worker learns bit for bit what A2C learns with one
    environment, evaluations included.

    Args:
        cfg: the settings of each worker.
        learner: the main process's own; the workers begin with its state, and it has theirs whenever they rest.
        workers: how many.
        folder: of the run, for the dump of a numeric error; None: there is none.
        network: makes a network of the user's.
        notify: called with one line about infos that make no metric.

    Attributes:
        episode_count: episodes that ended so far.
        ended: for whoever looks at each.
        clock: where the workers' time goes.
    """

    def __init__(
        self,
        cfg: Config,
        learner: Learner,
        workers: int,
        folder: Path | None = None,
        network: OwnNetwork | None = None,
        notify: Callable[[str], object] = log.warning,
    ) -> None:
        self._cfg, self._learner, self._folder, self._network = cfg, learner, folder, Pickled(network)
        self._shared = Shared(learner, workers, shared_statistics=cfg.shared_statistics)
        context = multiprocessing_context(None, preload="a2c.a3c.worker")
        self._pool = WorkerPool(context, True, "A3C", self._shared.current)
        self._collectors: list[Any] = [None] * workers
        self._episodes: deque[Episode] = deque(maxlen=max(100, workers * cfg.num_envs))
        self._lags = Lags()
        self._seen: list[tuple[int, float]] = []  # updates of each worker, and when that last changed
        self._closed, self.episode_count = False, 0
        self._keys: Sequence[str] | None = ()  # of the last infos that workers report; None: all
        self.ended = EndedEpisodes(cfg.log_info, self._show, notify)
        self.clock = TeamClock(LoopClock(learner.weights.device))

    def start(self, state: TrainState) -> list[str]:
        """Start the workers from the learner's state, until all have their environments.

        Args:
            state: where the run begins or resumes.

        Returns:
            A line for each worker whose episodes in flight do not all go on.

        Raises:
            EnvironmentFailure: an environment could not be made.
        """
        self._shared.publish(self._learner, state.env_steps, state.update)
        registered, environ, envs = Registered(), environ_for_workers(), self._cfg.num_envs
        for worker, collector in enumerate(self._collectors):
            first = worker * envs
            spec = WorkerSpec(
                worker,
                first,
                self._cfg,
                self._shared,
                state.update,
                collector,
                self._folder,
                self._network,
                self._keys,
                registered,
                environ,
                os.getpid(),
            )
            self._pool.start(run_async_worker, spec, range(first, first + envs))
        self._shared.arrays.close_file()
        came = self._collect(None)
        self.clock.skip()
        return [f"worker {worker}: {line}" for worker, line in enumerate(came) if line not in (None, GO_ON)]

    def call(self, call: Call) -> list[Any]:
        """Call a method of every environment while the workers rest; returns what they gave."""
        try:
            self._pool.command("call", [call] * self._shared.workers)
            answers = self._collect(None)
        except BaseException:
            self.close(terminate=True)
            raise
        self._collectors = [state for _, state in answers]
        return [result for results, _ in answers for result in results]

    def learn(self, state: TrainState, until: int, tick: Callable[[int], bool]) -> TrainState:
        """Let all workers learn until ``until`` env steps, and read what they have learned.

        Args:
            state: where the run is.
            until: env steps.
            tick: called with the env steps so far about four times a second; True lets the workers rest at once.

        Returns:
            Where the run is now.

        Raises:
            EnvironmentFailure: a worker died or hangs, or its environment failed; the learner has the last weights.
            NumericError: a reward or an observation is not finite.
        """
        shared = self._shared
        shared.due = until
        self._seen = [(-1, time.monotonic())] * shared.workers
        self.clock.enter(UPDATE)

        def look() -> None:
            if tick(shared.env_steps):
                shared.due = 0
            self._find_hung()

        try:
            self._pool.command("learn", [None] * shared.workers)
            reports: list[Report] = self._collect(look)
        except BaseException:
            self.close(terminate=True)  # so that nobody writes any more
            raise
        finally:
            shared.read_into(self._learner)
        for worker, report in enumerate(reports):
            self._collectors[worker] = report.collector
            self._learner.metrics.merge(report.metrics)
            self.episode_count += report.ended
            self._lags.merge(report.lags)
        self._episodes.extend(_in_turns(report.episodes for report in reports))
        self.ended.add(_in_turns(report.kept for report in reports))
        self.clock.add([report.seconds for report in reports])
        return self.where(state)

    def where(self, state: TrainState) -> TrainState:
        """``state`` with the env steps and updates that are in the weights, even after a failure."""
        return replace(state, env_steps=self._shared.env_steps, update=self._shared.updates)

    def metrics(self) -> dict[str, Any]:
        """A collector's metrics, and the gradients' lag since the last call: mean, maximum, pushes by lag 0, 1, ..."""
        return episode_means(self._episodes, self.episode_count) | self.ended.report() | self._lags.report()

    def state_dict(self) -> dict[str, Any]:
        """The state of each worker's collector, and the counts of metrics to come, for a checkpoint."""
        return {
            "workers": list(self._collectors),
            "episodes": to_tensor(self._episodes),
            "lags": self._lags.state_dict(),
            "ended": self.ended.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> str:
        """Take over what :meth:`state_dict` gave, before :meth:`start`; says what comes of episodes in flight.

        Raises:
            ValueError: it is of another number of workers.
        """
        if len(state["workers"]) != len(self._collectors):
            had = len(state["workers"])
            raise ValueError(f"it had num_workers={had}, not {len(self._collectors)}; add num_workers={had}")
        self._collectors = list(state["workers"])
        if "lags" in state:  # not in files of version 0.1
            self._episodes.extend(to_episodes(state["episodes"]))
            self._lags.load_state_dict(state["lags"])
        self.ended.load_state_dict(state.get("ended", {}))
        return "every worker goes on with its own episodes"

    def __enter__(self) -> Team:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End all workers; at once if something failed."""
        self.close(terminate=kind is not None)

    def close(self, terminate: bool = False) -> None:
        """End all workers; with ``terminate`` at once, without asking."""
        if not self._closed:
            self._closed = True
            self._pool.stop(ask=not terminate)
            self._shared.arrays.close_file()

    def _show(self, keys: Sequence[str] | None) -> None:
        self._keys = keys

    def _collect(self, look: Callable[[], None] | None) -> list[Any]:
        try:
            return of_others(self._pool.collect, None, look)
        except WorkersError as error:
            reports = error.reports
        raise reports[0].exception() from None

    def _find_hung(self) -> None:
        """Raise if a worker has not finished a rollout in the time that all its steps may take."""
        if self._cfg.env.step_timeout is None:
            return
        limit, now = self._cfg.env.step_timeout * self._cfg.n_step * self._cfg.num_envs + GRACE, time.monotonic()
        for worker, (updates, since) in enumerate(self._seen):
            made = self._shared.updates_of(worker)
            if made != updates or self._shared.current[worker] == RESTS:
                self._seen[worker] = (made, now)
            elif now - since > limit:
                who = self._pool.workers[worker]
                raise EnvironmentFailure(f"{who} has not finished a rollout in {limit:g} s (env.step_timeout)")


def _in_turns(each: Iterable[list[Episode]]) -> list[Episode]:
    """The episodes of all workers, so that the latest ones come from each."""
    turns = itertools.zip_longest(*each)
    return [episode for episodes in turns for episode in episodes if episode is not None]
