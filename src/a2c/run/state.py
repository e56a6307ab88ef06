"""How far training is, and what the run counts on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class TrainState:
    """How far training is; saved with every checkpoint."""

    env_steps: int = 0  # valid transitions over all environments
    update: int = 0

    def after(self, transitions: int) -> TrainState:
        """The state after one more update, from so many transitions."""
        return replace(self, env_steps=self.env_steps + transitions, update=self.update + 1)


@dataclass(frozen=True, slots=True)
class Tally:
    """Totals of a run that no update depends on; saved with every checkpoint."""

    episodes: int = 0
    best_eval: float | None = None  # mean return of the best evaluation so far
    wall_time: float = 0.0  # seconds, over all sessions of training
    ended: str | None = None  # why training is over before total_steps: stop_at, or a callback
