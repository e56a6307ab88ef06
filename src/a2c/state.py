"""Where a run is, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from a2c.rollout import Rollout


@dataclass(frozen=True, slots=True)
class TrainState:
    """Where a run is; saved with every checkpoint."""

    env_steps: int = 0  # valid transitions over all environments
    update: int = 0
    episodes: int = 0
    best_eval: float | None = None
    wall_time: float = 0.0  # seconds, over all sittings

    def after(self, rollout: Rollout) -> TrainState:
        return replace(self, env_steps=self.env_steps + rollout.transitions, update=self.update + 1)


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a run."""

    env_id: str
    seed: int
    device: str
    num_envs: int
    n_step: int
    env_steps: int
    updates: int
    episodes: int
    wall_time: float  # seconds
    fps: float  # env steps per second of wall time
    eval_mean: float | None  # of the best checkpoint, over eval_episodes fresh episodes; None if stopped early
    eval_std: float | None
    eval_episodes: int
    best_eval: float | None  # that chose the best checkpoint
    reward_threshold: float | None
    solved: bool | None
    folder: str
    best_checkpoint: str | None
    last_checkpoint: str
    curve: str | None
    gif: str | None
    stopped: str | None  # the signal that ended it early
    wandb_id: str | None
