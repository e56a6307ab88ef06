"""Where training is, and what the run has come to beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from a2c.rollout import Rollout


@dataclass(frozen=True, slots=True)
class TrainState:
    """Where training is; saved with every checkpoint."""

    env_steps: int = 0  # valid transitions over all environments
    update: int = 0

    def after(self, rollout: Rollout) -> TrainState:
        """One update later."""
        return replace(self, env_steps=self.env_steps + rollout.transitions, update=self.update + 1)


@dataclass(frozen=True, slots=True)
class Tally:
    """What a run has come to; no update depends on it. Saved with every checkpoint."""

    episodes: int = 0
    best_eval: float | None = None  # mean return of the best evaluation so far
    wall_time: float = 0.0  # seconds, over all sessions of training
