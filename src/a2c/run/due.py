"""When rows, evaluations and checkpoints are due, and how fast training goes."""

from __future__ import annotations

import time

from a2c.run.state import TrainState

ROWS = 20  # of the table on the screen, over a whole run, beside those of evaluations


class Due:
    """Decides when a row, an evaluation or a checkpoint is due, and measures speed since the last report.

    Env steps decide, never the clock, so that equal runs report alike.

    Args:
        state: where the run begins.
        total_steps: env steps at which the run ends.
        log_every, eval_every, save_every: env steps between rows, evaluations and checkpoints; 0 means only at the end.
        evaluates: whether there are evaluations at all.
    """

    def __init__(
        self,
        state: TrainState,
        total_steps: int,
        *,
        log_every: int,
        eval_every: int,
        save_every: int,
        evaluates: bool = True,
    ) -> None:
        self._evaluates = evaluates
        self._state, self._total = state, total_steps
        self._log_every, self._save_every = log_every, save_every
        self._eval_every = eval_every if evaluates else 0
        self._time = time.perf_counter()
        self._shown = False

    def reported(self, state: TrainState) -> None:
        """Note that the run has just reported at ``state``."""
        self._shown = self._shown or self.show(state)
        self._state, self._time = state, time.perf_counter()

    def report(self, state: TrainState) -> bool:
        """Whether a report is due; each one writes a row of metrics."""
        return self._crosses(self._log_every, state) or self.evaluate(state) or self.save(state)

    def next_report(self, state: TrainState) -> int:
        """The fewest env steps at which :meth:`report` returns True."""
        intervals = (self._log_every, self._eval_every, self._save_every)
        steps = [(state.env_steps // every + 1) * every for every in intervals if every > 0]
        return min(*steps, self._total)

    def evaluate(self, state: TrainState) -> bool:
        """Whether an evaluation is due."""
        return self._evaluates and (self._crosses(self._eval_every, state) or self._ends(state))

    def save(self, state: TrainState) -> bool:
        """Whether a checkpoint is due: also before every evaluation, which may take the process with it."""
        return self._crosses(self._save_every, state) or self._ends(state) or self.evaluate(state)

    def show(self, state: TrainState) -> bool:
        """Whether the report goes into the table on the screen: the first, about twenty in all, and each evaluation."""
        twentieth = self._crosses(max(1, self._total // ROWS), state)
        return not self._shown or twentieth or self.evaluate(state) or self._ends(state)

    def speed(self, state: TrainState) -> float:
        """Env steps per second since the last report; the time of that report and its evaluation does not count."""
        seconds = max(time.perf_counter() - self._time, 1e-9)
        return (state.env_steps - self._state.env_steps) / seconds

    def _crosses(self, every: int, state: TrainState) -> bool:
        return every > 0 and state.env_steps // every > self._state.env_steps // every

    def _ends(self, state: TrainState) -> bool:
        return state.env_steps >= self._total
