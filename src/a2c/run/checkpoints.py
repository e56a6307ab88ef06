"""The checkpoints of a run: ``last.pt`` to go on from, ``best.pt`` of its best evaluation.

A disk may be full for a while. A save that fails then is tried again with the next report, and the old file stays.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from a2c.collecting.ended_episodes import EndedEpisodes
from a2c.envs.rebuilding.calls import Call
from a2c.errors import RunIOError
from a2c.learning.learner import Learner
from a2c.machine.clock import Clock
from a2c.run.resuming import best_score
from a2c.run.state import Tally, TrainState
from a2c.run.tracking.tracker import Trackers
from a2c.settings.config import Config
from a2c.settings.notices import tell_once
from a2c.settings.redaction import redact
from a2c.storage.checkpoint import checkpoint_payload, frozen, save_checkpoint
from a2c.storage.kept_checkpoints import KeptCheckpoints, open_checkpoint

TRIES = 3  # failed saves in a row, each a report apart: a disk that nobody has cleared by then stays full
WAITS = (0.2, 0.5, 1.3)  # seconds between tries where no report follows: 2 of the 10 s that a stop may take


class Actors(Protocol):
    """What a run needs from whoever acts: a collector or a team of workers."""

    episode_count: int
    ended: EndedEpisodes

    @property
    def clock(self) -> Clock: ...
    def metrics(self) -> dict[str, Any]: ...
    def call(self, call: Call) -> list[Any]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> str: ...


class Checkpoints:
    """Writes the checkpoints of one run, and counts what they hold besides the learner.

    Args:
        folder: ``checkpoints`` of the run folder, made if missing.
        cfg: the settings; ``cfg.resume`` names a run to continue.
        notify: called with one line when a save has failed and will be tried again.

    Attributes:
        final: no report follows, so that a save which fails is tried again at once.
        resumed: the checkpoint that the run continues from, or None.
        saved: where training was in it.

    Raises:
        CheckpointError: the run to continue is missing or damaged.
        RunIOError: the folder cannot be made.
    """

    def __init__(self, folder: Path, cfg: Config, notify: Callable[[str], None]) -> None:
        self.folder, self.final, self._cfg, self._notify = folder, False, cfg, notify
        self._kept = KeptCheckpoints(folder, cfg.checkpoint.keep)
        self._failed: dict[str, int] = {}  # saves of each name that failed in a row
        self._unsaved_best: dict[str, Any] | None = None
        self.resumed = open_checkpoint(cfg.resume, cfg.runs_dir, "last", tell_once)[1] if cfg.resume else None
        self.saved, self._tally = _restored({} if self.resumed is None else self.resumed["state"])
        self._started = time.perf_counter() - self._tally.wall_time
        self._learner: Learner  # open() sets these four
        self._actors: Actors
        self._trackers: Trackers
        self._more: Callable[[], dict[str, Any]]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunIOError(f"cannot write the run folder {folder.parent}: {error.strerror or error}") from error
        if cfg.resume:
            self._tally = replace(self._tally, best_eval=best_score(folder))
            self._tally = replace(self._tally, ended=_still_ended(self._tally, self.resumed, cfg))

    def open(
        self, learner: Learner, actors: Actors, trackers: Trackers, more: Callable[[], dict[str, Any]] = dict
    ) -> None:
        """Take over what the checkpoints hold the state of, and count its episodes on.

        Args:
            learner, actors, trackers: of the run.
            more: gives what else a checkpoint holds.
        """
        self._learner, self._actors, self._trackers, self._more = learner, actors, trackers, more
        if self.resumed is not None:
            actors.episode_count = self._tally.episodes

    @property
    def tally(self) -> Tally:
        """The totals of the run up to now."""
        wall_time = time.perf_counter() - self._started
        self._tally = replace(self._tally, episodes=self._actors.episode_count, wall_time=wall_time)
        return self._tally

    @property
    def ended(self) -> str | None:
        """Why training is over before ``total_steps``; None: it is not."""
        return self._tally.ended

    def end(self, why: str) -> None:
        """Training is over; the first reason stays."""
        self.final, self._tally = True, replace(self._tally, ended=self._tally.ended or why)

    def payload(self, state: TrainState) -> dict[str, Any]:
        """What a checkpoint holds now; its tensors are the learner's own, not copies."""
        collector = self._actors.state_dict()  # first: with it the learner gets the sums of other ranks
        made = checkpoint_payload(
            redact(asdict(self._cfg)),
            self._learner.model.spaces.to_dict(),
            self._learner.state_dict(),
            collector=collector,
            state={**asdict(state), **asdict(self.tally)},
            **self._trackers.state_dict(),
        )
        return {**made, **self._more()}

    def write(self, name: str, payload: dict[str, Any]) -> None:
        """Write ``NAME.pt``, atomically; if that fails, one line says so, and the next report makes up for it.

        Raises:
            RunIOError: it has failed ``TRIES`` times in a row or, where no report follows, for about two seconds.
        """
        for wait in (*WAITS, None) if self.final else (None,):
            try:
                self._kept.save(name, payload)
            except RunIOError as error:
                if wait is None:
                    self._postpone(name, payload, error)
                else:
                    time.sleep(wait)
            else:
                self._failed.pop(name, None)
                self._unsaved_best = None if name == "best" else self._unsaved_best
                return

    def keep(self, name: str, payload: dict[str, Any]) -> None:
        """Write ``NAME.pt`` for good; raises :class:`RunIOError` if that has failed for about two seconds."""
        for wait in (*WAITS, None):
            try:
                save_checkpoint(self.folder / f"{name}.pt", payload)
                break
            except RunIOError:
                if wait is None:
                    raise
                time.sleep(wait)

    @property
    def owes(self) -> bool:
        """Whether the last save of ``last.pt`` failed, so that the next report should save it."""
        return "last" in self._failed

    def catch_up(self) -> None:
        """Try again to save a ``best.pt`` that could not be; raises as :meth:`write`."""
        if self._unsaved_best is not None:
            self.write("best", self._unsaved_best)

    def _postpone(self, name: str, payload: dict[str, Any], error: RunIOError) -> None:
        self._failed[name] = failed = self._failed.get(name, 0) + 1
        if self.final or failed == TRIES:
            raise error
        if name == "best":  # training goes on, and these weights are gone by the next report
            self._unsaved_best = frozen(payload)
        self._notify(f"{error}; the old one stays, and the next report tries again ({failed} of {TRIES})")

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
    kept = ("episodes", "best_eval", "wall_time", "ended")
    return state, Tally(**{key: saved[key] for key in kept if key in saved})


def _still_ended(tally: Tally, resumed: Mapping[str, Any] | None, cfg: Config) -> str | None:
    """Why a resumed run was over, unless the settings that say where it ends are others now."""
    before = {} if resumed is None else resumed["config"]
    same = before.get("total_steps") == cfg.total_steps and before.get("stop_at") == cfg.stop_at
    return tally.ended if same else None
