"""The checkpoints of a run: ``last.pt`` to go on from, ``best.pt`` of its best evaluation."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from a2c.errors import RunIOError
from a2c.learning.learner import Learner
from a2c.machine.clock import Clock
from a2c.run.resuming import best_score
from a2c.run.state import Tally, TrainState
from a2c.run.tracking.tracker import Trackers
from a2c.settings.config import Config
from a2c.storage.checkpoint import checkpoint_payload, find_checkpoint, load_checkpoint, save_checkpoint


class Actors(Protocol):
    """What a run needs from whoever acts: a collector or a team of workers."""

    episode_count: int

    @property
    def clock(self) -> Clock: ...
    def metrics(self) -> dict[str, Any]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Checkpoints:
    """Writes the checkpoints of one run, and counts what they hold besides the learner.

    Args:
        folder: ``checkpoints`` of the run folder, made if missing.
        cfg: the settings; ``cfg.resume`` names a run to continue.

    Attributes:
        resumed: the checkpoint that the run continues from, or None.
        saved: where training was in it.

    Raises:
        CheckpointError: the run to continue is missing or damaged.
        RunIOError: the folder cannot be made.
    """

    def __init__(self, folder: Path, cfg: Config) -> None:
        self.folder, self._cfg = folder, cfg
        self.resumed = load_checkpoint(find_checkpoint(cfg.resume, cfg.runs_dir, "last")) if cfg.resume else None
        self.saved, self._tally = _restored({} if self.resumed is None else self.resumed["state"])
        self._started = time.perf_counter() - self._tally.wall_time
        self._learner: Learner  # open() sets these three
        self._actors: Actors
        self._trackers: Trackers
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunIOError(f"cannot write the run folder {folder.parent}: {error.strerror or error}") from error
        if cfg.resume:
            self._tally = replace(self._tally, best_eval=best_score(folder))

    def open(self, learner: Learner, actors: Actors, trackers: Trackers) -> None:
        """Take over what the checkpoints hold the state of, and count its episodes on."""
        self._learner, self._actors, self._trackers = learner, actors, trackers
        if self.resumed is not None:
            actors.episode_count = self._tally.episodes

    @property
    def tally(self) -> Tally:
        """The totals of the run up to now."""
        wall_time = time.perf_counter() - self._started
        self._tally = replace(self._tally, episodes=self._actors.episode_count, wall_time=wall_time)
        return self._tally

    def payload(self, state: TrainState) -> dict[str, Any]:
        """What a checkpoint holds now; its tensors are the learner's own, not copies."""
        return checkpoint_payload(
            asdict(self._cfg),
            self._learner.model.spaces.to_dict(),
            self._learner.state_dict(),
            collector=self._actors.state_dict(),
            state={**asdict(state), **asdict(self.tally)},
            **self._trackers.state_dict(),
        )

    def write(self, name: str, payload: dict[str, Any]) -> None:
        """Write ``NAME.pt``, atomically; raises :class:`RunIOError`."""
        save_checkpoint(self.folder / f"{name}.pt", payload)

    def improves(self, score: float) -> bool:
        """Whether an evaluation is the best so far, which it then counts as; of equal scores, the longer trained.

        A score that is not finite (sums of huge rewards overflow) is never the best.
        """
        if not math.isfinite(score):
            return False
        best = self._tally.best_eval
        if best is not None and score < best:
            return False
        self._tally = replace(self._tally, best_eval=score)
        return True

    def stamped(self, payload: dict[str, Any]) -> dict[str, Any]:
        """A payload of before with the best score of now."""
        return {**payload, "state": {**payload["state"], "best_eval": self._tally.best_eval}}


def _restored(saved: Mapping[str, Any]) -> tuple[TrainState, Tally]:
    """Where a run was, by the state in its checkpoint; an empty one is a new run."""
    state = TrainState(**{key: saved[key] for key in ("env_steps", "update") if key in saved})
    return state, Tally(**{key: saved[key] for key in ("episodes", "best_eval", "wall_time") if key in saved})
