"""What is due, and how fast it went, since the last report."""

from __future__ import annotations

import time

from a2c.config import Config
from a2c.rollout import Collector
from a2c.state import TrainState

ROWS = 20  # table rows that a whole run shows


class Progress:
    """The latest report, and what follows from it.

    Everything is due by env steps, never by the clock, so that equal runs report alike.
    """

    def __init__(self, cfg: Config, state: TrainState) -> None:
        self._cfg, self._state = cfg, state
        self._time = time.perf_counter()
        self._env_seconds = self._act_seconds = 0.0
        self._shown = False

    def reported(self, state: TrainState, collector: Collector) -> None:
        """A report has just been made."""
        self._shown = self._shown or self.show(state)
        self._state, self._time = state, time.perf_counter()
        self._env_seconds, self._act_seconds = collector.env_seconds, collector.act_seconds

    def report(self, state: TrainState) -> bool:
        return self._crosses(self._cfg.log_every, state) or self.evaluate(state) or self.save(state)

    def evaluate(self, state: TrainState) -> bool:
        return self._crosses(self._cfg.eval.every, state) or self._ends(state)

    def save(self, state: TrainState) -> bool:
        return self._crosses(self._cfg.checkpoint.every, state) or self._ends(state)

    def show(self, state: TrainState) -> bool:
        """Whether the report is a row of the table on the screen: the first, and about twenty in all."""
        return not self._shown or self._crosses(max(1, self._cfg.total_steps // ROWS), state) or self._ends(state)

    def times(self, state: TrainState, collector: Collector) -> dict[str, float]:
        """Steps per second and the share of time in environments, in acting and in updates, since the last report."""
        seconds = max(time.perf_counter() - self._time, 1e-9)
        env = (collector.env_seconds - self._env_seconds) / seconds
        act = (collector.act_seconds - self._act_seconds) / seconds
        return {
            "time/fps": (state.env_steps - self._state.env_steps) / seconds,
            "time/env_frac": env,
            "time/act_frac": act,
            "time/update_frac": max(0.0, 1.0 - env - act),
        }

    def _crosses(self, every: int, state: TrainState) -> bool:
        return every > 0 and state.env_steps // every > self._state.env_steps // every

    def _ends(self, state: TrainState) -> bool:
        return state.env_steps >= self._cfg.total_steps
