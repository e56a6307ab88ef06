"""The reports of a run: a row of metrics each, with an evaluation and a checkpoint where they are due."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from a2c.errors import A2CError, EnvironmentFailure, NumericError
from a2c.learning.learner import Learner
from a2c.run.checkpoints import Actors, Checkpoints
from a2c.run.due import Due
from a2c.run.evaluations import Evaluations
from a2c.run.onlooker import Onlooker
from a2c.run.rows import Row
from a2c.run.state import TrainState
from a2c.run.timing.stopwatch import Stopwatch
from a2c.settings.config import Config


class Reports:
    """Makes them when the run is told that one is due.

    Args:
        cfg: the settings.
        learner, actors: what is reported on.
        checkpoints, evaluations, stopwatch, due: of the run.
        onlooker: sees every report before its row is passed on.

    Attributes:
        latest: metrics of the last row.
    """

    def __init__(
        self,
        cfg: Config,
        learner: Learner,
        actors: Actors,
        checkpoints: Checkpoints,
        evaluations: Evaluations,
        onlooker: Onlooker,
        stopwatch: Stopwatch,
        due: Due,
    ) -> None:
        self._cfg, self._learner, self._actors = cfg, learner, actors
        self._checkpoints, self._evaluations, self._onlooker = checkpoints, evaluations, onlooker
        self._stopwatch, self._due = stopwatch, due
        self.latest: Mapping[str, Any] = {}

    def make(self, state: TrainState) -> None:
        """Log a row of metrics; evaluate and save where due.

        Raises:
            NumericError: a loss or gradient was not finite; weights are those of before.
            RunIOError: the row cannot be written, or the checkpoint could not several times in a row.
            CallbackFailure: the callback raised.
        """
        due = self._due
        self._checkpoints.final = state.env_steps >= self._cfg.total_steps
        self._stopwatch.report_begins()
        metrics = self._learner.drain_metrics(state.env_steps) | self._actors.metrics()
        metrics["time/fps"] = due.speed(state)
        metrics["time/time_elapsed"] = self._checkpoints.tally.wall_time
        evaluate, save, show = due.evaluate(state), due.save(state) or self._checkpoints.owes, due.show(state)
        self._evaluations.receive(wait=evaluate or save)
        self._checkpoints.catch_up()
        if not evaluate:
            metrics |= self._seen(state, metrics, {}, show)
            if self._checkpoints.ended is not None:
                evaluate, save, show = not self._evaluations.off, True, True
        if evaluate:
            self._pass_on(state, metrics, self._scores(state, metrics, save), show)
        else:
            self._add(state, metrics, {}, show)  # first: who is killed in between makes it again
            if save:
                self._checkpoints.write("last", self._checkpoints.payload(state))
        for name in self._onlooker.wanted():
            self._checkpoints.keep(name, self._checkpoints.payload(state))
        due.reported(state)

    def make_again(
        self, state: TrainState, waiting: Mapping[str, Any], left: Mapping[str, Any], note: Callable[[str], None]
    ) -> None:
        """Make the evaluation in which the last session ended; should it fail again, training goes on without.

        Args:
            state: where the run was.
            waiting: the row of metrics that waits for its scores, of that very state; empty: none does.
            left: an evaluation of before it (:meth:`Evaluations.left`); empty: there is none.
            note: called with one line if it fails.

        Raises:
            CallbackFailure: the callback raised.
        """
        cfg = self._cfg
        try:
            if left:
                self._evaluations.take_up(left)
            if not waiting:
                return
            self._evaluations.receive(wait=True)
            ends = state.env_steps >= cfg.total_steps or self._checkpoints.ended is not None
            if self._evaluations.off or (cfg.eval.every == 0 and not ends):
                raise EnvironmentFailure("no evaluation is due")
            scores = self._scores(state, waiting, save=True)
        except (EnvironmentFailure, NumericError) as error:
            if waiting:
                self._add(state, waiting, {}, show=True)
            self._checkpoints.write("last", self._checkpoints.payload(state))
            note(f"no scores after {state.env_steps:,} steps: {error}")
        else:
            self._pass_on(state, waiting, scores, show=True)
        self._due.reported(state)

    def _scores(self, state: TrainState, metrics: Mapping[str, Any], save: bool) -> Mapping[str, float] | None:
        ends = state.env_steps >= self._cfg.total_steps or self._checkpoints.ended is not None
        wait = ends or self._onlooker.waits
        return self._evaluations.evaluate(state, self._learner.model, metrics, save=save, wait=wait)

    def _pass_on(
        self, state: TrainState, metrics: Mapping[str, Any], scores: Mapping[str, float] | None, show: bool
    ) -> None:
        """Let the onlooker see a report with its scores, unless it has ended the run without, and pass on the row."""
        own = {}
        if scores is not None and self._checkpoints.ended is None:
            own = self._seen(state, metrics, scores, show)
        self._add(state, {**metrics, **own}, scores, show)

    def _seen(
        self, state: TrainState, metrics: Mapping[str, Any], scores: Mapping[str, float], show: bool
    ) -> dict[str, Any]:
        """What the onlooker adds to a row. If it fails, the row goes without: a resumed run does not make it again."""
        try:
            return self._onlooker.look(state, {**metrics, **scores})
        except A2CError:
            self._add(state, metrics, scores, show)
            raise

    def _add(
        self, state: TrainState, metrics: Mapping[str, Any], scores: Mapping[str, float] | None, show: bool
    ) -> None:
        row = Row(state.env_steps, metrics, self._stopwatch.metrics(), show)
        self.latest = {**row.metrics, **row.times}
        self._evaluations.add(row, scores)
