"""Where a run is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from a2c.rollout import Rollout


@dataclass(frozen=True, slots=True)
class TrainState:
    """Saved with every checkpoint."""

    env_steps: int = 0  # valid transitions over all environments
    update: int = 0
    episodes: int = 0
    best_eval: float | None = None
    wall_time: float = 0.0  # seconds, over all sittings

    def after(self, rollout: Rollout) -> TrainState:
        """One update later."""
        return replace(self, env_steps=self.env_steps + rollout.transitions, update=self.update + 1)
