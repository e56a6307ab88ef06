"""Evaluation in a process of its own, from a copy of the weights, while training goes on."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from a2c.errors import A2CError, EnvironmentFailure
from a2c.machine.processes.failure_report import EnvironmentTimeoutError, WorkersError, how_it_ended
from a2c.machine.processes.launch import Registered, environ_for_workers, multiprocessing_context
from a2c.machine.processes.life_line import close_at_exit
from a2c.machine.processes.pickles import Pickled
from a2c.machine.processes.pool import WorkerPool
from a2c.machine.processes.shared_arrays import SharedArrays
from a2c.network.protocol import Network
from a2c.playing.evaluation import MAX_ENVS, EvalResult
from a2c.playing.evaluator_player import NONE_RUNS
from a2c.playing.evaluator_worker import EvaluatorSpec, run_evaluator
from a2c.settings.config import Config


class EvaluatorProcess:
    """One process that plays the episodes of one evaluation at a time, as the main process sees it.

    The constructor returns at once: the process loads torch and makes its environments meanwhile. It has the network's
    layout in memory and the number of threads of the main process, so that it computes the same bits.

    Args:
        cfg: the settings.
        make_network: makes the network on the CPU; it is pickled, by value where it is of the user's script.
        episodes: as in :class:`a2c.playing.evaluation.Evaluator`.
        threads: of torch.

    Attributes:
        busy: an answer is still to come.
        closed: the process has ended.

    Raises:
        Exception: ``make_network`` cannot be pickled.
    """

    def __init__(self, cfg: Config, make_network: Callable[[], Network], episodes: int, threads: int) -> None:
        self.busy, self.closed = True, False  # busy with its environments
        self._owner = os.getpid()
        self._step_timeout = cfg.env.step_timeout
        self._arrays = arrays = SharedArrays(dict.fromkeys(("current", "beats", "stop", "over"), ((1,), np.int64)))
        self._current, self._beats = arrays["current"], arrays["beats"]
        self._current[0] = NONE_RUNS
        self._seen = (-1, time.monotonic())  # the last count of beats, and when it was new
        context = multiprocessing_context(None, preload="a2c.playing.evaluator_worker")
        # No daemon: a user's environment may start processes of its own, as it may in the main process.
        self._pool = WorkerPool(context, False, "evaluator", self._current)
        self._at_exit = close_at_exit(self)
        registered, environ = Registered(), environ_for_workers()
        factory = Pickled(make_network)
        spec = EvaluatorSpec(cfg, factory, episodes, threads, arrays, registered, environ, self._owner)
        try:
            self._pool.start(run_evaluator, spec, range(min(episodes, MAX_ENVS)))
        except BaseException:
            self.close(terminate=True)
            raise
        arrays.close_file()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._pool.workers[0].pid

    def wait_until_ready(self, stop: Callable[[], bool]) -> bool:
        """Wait until the process is idle; False if ``stop`` ended the wait. Raises as :meth:`result`."""
        if self.busy:
            return bool(self._received(stop))
        if not self._pool.workers[0].process.is_alive():
            raise self._died()
        return True

    def begin(self, weights: Mapping[str, Tensor], seeds: list[int]) -> None:
        """Begin an evaluation; the process is idle (:meth:`wait_until_ready`).

        Args:
            weights: the network's state, on the CPU. Each tensor must own its memory: with a view of the flat vector
                of weights the whole vector would travel.
            seeds: of the episodes.

        Raises:
            EnvironmentFailure: the process is gone.
        """
        assert not self.busy
        self._arrays["over"][0] = 0
        try:
            self._pool.command("evaluate", [(dict(weights), seeds)])
        except EnvironmentFailure:
            raise self._died() from None
        self.busy = True

    @property
    def over(self) -> int:
        """Episodes of the evaluation under way that have ended."""
        return int(self._arrays["over"][0])

    def result(self, stop: Callable[[], bool] | None) -> EvalResult | None:
        """The scores of the evaluation that has begun.

        After an exception the process has ended.

        Args:
            stop: called about four times a second while waiting, True ends the wait; None: do not wait.

        Returns:
            The scores in the order of the seeds; None if they are not there.

        Raises:
            EnvironmentFailure: the process died, or an environment failed or takes longer than ``env.step_timeout``.
            ConfigError, NumericError: as :class:`a2c.playing.evaluation.Evaluator`.
        """
        answers: list[EvalResult] = self._received(stop)
        return answers[0] if answers else None

    def close(self, terminate: bool = False) -> None:
        """End the process: break off its evaluation and close its environments; with ``terminate``, at once."""
        if not self.closed and os.getpid() == self._owner:  # a forked copy leaves it to the process that started it
            self.closed = True
            atexit.unregister(self._at_exit)
            self._arrays["stop"][0] = 1
            self._pool.stop(ask=not terminate)
            self._arrays.close_file()

    def _received(self, stop: Callable[[], bool] | None) -> list[Any]:
        """The next answer alone in a list, or nothing."""
        late: int | None = None

        def look() -> None:
            nonlocal late
            late = self._hanging()
            if late is not None or (stop is not None and stop()):
                raise _EndOfWaitError

        try:
            answers = self._pool.collect(0.0 if stop is None else None, look)
        except (EnvironmentTimeoutError, _EndOfWaitError):
            if late is not None:
                raise self._late(late) from None
            return []
        except WorkersError as error:
            self.close(terminate=True)
            raise error.reports[0].exception() from None
        except EnvironmentFailure:
            raise self._died() from None
        self.busy = False
        if isinstance(answers[0], A2CError):
            self.close()
            raise answers[0]
        return answers

    def _hanging(self) -> int | None:
        """The environment of which one call has lasted for longer than ``env.step_timeout``, as far as we looked."""
        if self._step_timeout is None:
            return None
        env, beats, now = int(self._current[0]), int(self._beats[0]), time.monotonic()  # the process writes beats first
        if env == NONE_RUNS or beats != self._seen[0]:
            self._seen = (beats, now)
        return env if now - self._seen[1] > self._step_timeout else None

    def _late(self, env: int) -> EnvironmentFailure:
        pid = self.pid
        self.close(terminate=True)
        text = f"environment {env} of the evaluation did not answer in {self._step_timeout:g} s"
        return EnvironmentFailure(f"{text} (pid {pid}; env.step_timeout)")

    def _died(self) -> EnvironmentFailure:
        env, pid, process = int(self._current[0]), self.pid, self._pool.workers[0].process
        self.close(terminate=True)
        text = f"the process of the evaluation (pid {pid}) {how_it_ended(process.exitcode)}"
        return EnvironmentFailure(text if env == NONE_RUNS else f"{text} while it ran environment {env}")


class _EndOfWaitError(Exception):
    """Raised while waiting, to wait no longer."""
