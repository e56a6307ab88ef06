"""The evaluations of a run and the rows of metrics that wait for their scores.

An evaluation in a process of its own is under way while training goes on, one at a time. The row of its report waits
for the scores and later rows wait behind it, so that metrics.jsonl, W&B and the screen get the rows that they get from
an evaluation in place. Nothing is saved of what came after an evaluation before its scores are there; so every
``last.pt`` knows the best score of all evaluations before it.

There is one exception: ``last.pt`` of the report at which an evaluation begins is written at once, in place as well, so
that a crash in the evaluation loses only the evaluation. That file does not know the score, nor has metrics.jsonl the
row. So it holds the row, as ``waiting_row``. When the scores are there, or the evaluation has failed, it is written
again, with the best score and without the row. If the program is stopped or dies meanwhile, a resumed run finds the
row, evaluates the same weights again and goes on as if nothing had happened; should it fail again, it goes on without
scores. Whether ``best.pt`` was already written then makes no difference: it would be the same file.

A run that is stopped while an evaluation is under way saves where it is, and with it what the evaluation was of and the
rows that wait: ``left``. The resumed run takes it up where it was left.

A row is in the record before the ``last.pt`` of its report: killed in between, a run makes the row again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from a2c.errors import A2CError, RankFailure
from a2c.network.protocol import Network
from a2c.playing.evaluation import EvalResult
from a2c.run.checkpoints import Checkpoints
from a2c.run.evaluators import Evaluators
from a2c.run.rows import LEFT, WAITING_ROW, Row, plain_metrics, scores_of
from a2c.run.state import TrainState
from a2c.storage.checkpoint import frozen


class Evaluations:
    """Evaluates, keeps the best checkpoint, and passes on rows in order.

    Args:
        evaluators: who plays the episodes.
        checkpoints: of the run.
        write: called with every row and its scores, in order.
        timed: counts the time inside as evaluation.
    """

    def __init__(
        self,
        evaluators: Evaluators,
        checkpoints: Checkpoints,
        write: Callable[[Row, Mapping[str, float]], None],
        timed: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._evaluators, self._checkpoints = evaluators, checkpoints
        self._write, self._timed = write, timed
        self._snapshot: dict[str, Any] | None = None  # the checkpoint of the moment when the one under way began
        self._is_last = False  # it is in last.pt too
        self._last: Callable[[], dict[str, Any]] | None = None  # a last.pt to write once its row is in the record
        self._left = False  # the run is to end; the evaluation under way is a resumed run's to make
        self._waiting: dict[str, Any] = {}  # and so is that of now, which has this row
        self._rows: deque[Row] = deque()  # the first one waits for scores, the others behind it

    @property
    def off(self) -> bool:
        """Whether there are none."""
        return self._evaluators.off

    def evaluate(
        self, state: TrainState, network: Network, metrics: Mapping[str, Any], *, save: bool, wait: bool
    ) -> dict[str, float] | None:
        """Evaluate the network; none may be under way.

        Args:
            state: where the run is.
            network: of the learner.
            metrics: of this report's row.
            save: a ``last.pt`` is due as well; this method sees to it.
            wait: for the scores, because training ends here or depends on them.

        Returns:
            Scores for the row; None: they come later, and :meth:`add` says to which row.

        Raises:
            EnvironmentFailure, NumericError: an environment failed.
            RunIOError: a checkpoint cannot be written.
        """
        if self._left:
            self._waiting = plain_metrics(metrics)
            return None
        assert self._snapshot is None
        with self._timed():
            apart = self._evaluators.ready_apart()
        if not apart:
            payload = self._checkpoints.payload(state)
            if save:
                self._checkpoints.write("last", {**payload, WAITING_ROW: plain_metrics(metrics)})
            try:
                with self._timed():
                    result = self._evaluators.here(network, state.env_steps)
            except A2CError as error:
                if save and not isinstance(error, RankFailure):  # after that one, all start again and evaluate again
                    self._checkpoints.write("last", self._checkpoints.stamped(payload))  # as in _received
                raise
            if result is None:
                self._left, self._waiting = True, plain_metrics(metrics)
                return None
            if self._checkpoints.improves(result.mean):
                self._checkpoints.write("best", self._checkpoints.payload(state))
            if save:  # with what becomes of this report until its row is there
                self._last = partial(self._checkpoints.payload, state)
            return scores_of(result)
        with self._timed():
            snapshot = frozen(self._checkpoints.payload(state))
        if save:
            self._checkpoints.write("last", {**snapshot, WAITING_ROW: plain_metrics(metrics)})
        with self._timed():
            self._evaluators.begin(snapshot["learner"]["model"], state.env_steps)
        self._snapshot, self._is_last = snapshot, save
        if not wait:
            return None
        scores = self._received(wait=True)
        if scores is None:  # the run is to end: a resumed one makes the whole report again
            self._snapshot, self._waiting = None, plain_metrics(metrics)
        elif save:
            self._last = partial(self._checkpoints.payload, state)
        return scores

    def add(self, row: Row, scores: Mapping[str, float] | None) -> None:
        """Pass on a row; without scores it waits for those of the evaluation under way. Raises :class:`RunIOError`."""
        if scores is None or self._rows:
            self._rows.append(row)
        else:
            self._write(row, scores)
            self._save()

    def receive(self, wait: bool) -> None:
        """Take the scores of the evaluation under way, if there is one, and pass on the rows that waited.

        Args:
            wait: until they are there or the run is to end; then the evaluation is left to a resumed run.

        Raises:
            EnvironmentFailure, NumericError: an environment failed; its row has been passed on without scores.
            RunIOError: a row or a checkpoint cannot be written.
        """
        if self._snapshot is None or self._left:
            return
        try:
            scores = self._received(wait)
        except BaseException:
            self._pass_on({})
            raise
        if scores is not None:
            self._pass_on(scores)

    def break_off(self) -> None:
        """End the evaluation under way, if there is one, at once; its row is passed on without scores."""
        if self._left:
            return
        if self._snapshot is not None:
            self._snapshot = None
            self._evaluators.break_off()
        self._pass_on({})

    def left(self) -> dict[str, Any]:
        """What a checkpoint needs of an evaluation that the run will not finish; empty if there is none."""
        waiting = {WAITING_ROW: self._waiting} if self._waiting else {}
        if self._snapshot is None or not self._left:
            return waiting
        rows = [[row.env_steps, plain_metrics(row.metrics), row.show] for row in self._rows]
        return {LEFT: {"snapshot": self._snapshot, "rows": rows[:-1] if waiting else rows}, **waiting}

    def take_up(self, left: Mapping[str, Any]) -> None:
        """Make the evaluation that an earlier session left.

        Args:
            left: of :meth:`left`.

        Raises:
            EnvironmentFailure, NumericError: an environment failed; the row has been passed on without scores.
            RunIOError: a row or a checkpoint cannot be written.
        """
        snapshot = left["snapshot"]
        weights, env_steps = snapshot["learner"]["model"], snapshot["state"]["env_steps"]
        self._rows.extend(Row(steps, metrics, {}, show) for steps, metrics, show in left["rows"])
        if self._evaluators.off:  # in this session
            self._pass_on({})
            return
        self._snapshot = snapshot
        with self._timed():
            if self._evaluators.ready_apart():
                self._evaluators.begin(weights, env_steps)
                return
            network = self._evaluators.make_network()
            network.load_state_dict(weights)
            try:
                result = self._evaluators.here(network, env_steps)
            except BaseException:
                self._snapshot = None
                self._pass_on({})
                raise
        if result is None:
            self._left = True
            return
        self._snapshot = None
        self._pass_on(self._scored(snapshot, result))

    def _received(self, wait: bool) -> dict[str, float] | None:
        """Scores of the evaluation under way, which then is no longer; None: they are not there yet."""
        snapshot = self._snapshot
        assert snapshot is not None
        try:
            with self._timed():
                result = self._evaluators.result(wait)
        except BaseException as error:
            self._snapshot = None
            self._evaluators.break_off()
            if self._is_last and isinstance(
                error, A2CError
            ):  # without the row: a resumed run must not meet the same failure again
                self._checkpoints.write("last", self._checkpoints.stamped(snapshot))
            raise
        if result is None and not wait:
            return None
        if result is None:
            self._evaluators.break_off()
            self._left = True
            return None
        self._snapshot = None
        scores = self._scored(snapshot, result)
        if self._is_last:
            self._last = partial(self._checkpoints.stamped, snapshot)
        return scores

    def _scored(self, snapshot: dict[str, Any], result: EvalResult) -> dict[str, float]:
        """Keep the best checkpoint; returns the scores for the row."""
        if self._checkpoints.improves(result.mean):
            self._checkpoints.write("best", self._checkpoints.stamped(snapshot))
        return scores_of(result)

    def _pass_on(self, scores: Mapping[str, float]) -> None:
        while self._rows:
            self._write(self._rows.popleft(), scores)
            scores = {}
        self._save()

    def _save(self) -> None:
        if self._last is not None:
            payload, self._last = self._last(), None
            self._checkpoints.write("last", payload)
