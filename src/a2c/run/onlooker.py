"""Who looks at every report, and may end the run: the score of ``stop_at``, and the user's callback."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from a2c.envs.single.make_env import reward_threshold
from a2c.errors import ConfigError
from a2c.machine.processes.foreign_code import GaveUpError
from a2c.network.protocol import Network
from a2c.run.callback import Callback
from a2c.run.checkpoints import Actors, Checkpoints
from a2c.run.progress import Progress
from a2c.run.state import TrainState
from a2c.settings.config import Config

SCORE = "eval/mean_reward"
CALLBACK = "callback"  # key of a checkpoint: its state


class Onlooker:
    """Both of a run, or neither.

    Args:
        cfg: the settings.
        folder: of the run.
        callback: of the user; None: there is none.
        checkpoints: of the run.
        notify: called with one line.

    Attributes:
        waits: whether training waits for the scores of every evaluation, since what follows depends on them.

    Raises:
        ConfigError: ``stop_at=threshold``, and the environment has none.
    """

    def __init__(
        self,
        cfg: Config,
        folder: Path,
        callback: Callback | None,
        checkpoints: Checkpoints,
        notify: Callable[[str], None],
    ) -> None:
        self._cfg, self._folder, self._callback = cfg, folder, callback
        self._checkpoints, self._notify = checkpoints, notify
        self._goal = goal_of(cfg)
        self.waits = callback is not None or self._goal is not None
        self._network: Network  # open() sets these two
        self._actors: Actors
        self._names: list[str] = []

    def open(self, network: Network, actors: Actors, resumed: Mapping[str, Any] | None) -> None:
        """Look at this pair from here on, and give the callback its state.

        Args:
            network: of the learner.
            actors: what fills its rollouts.
            resumed: the checkpoint that the run goes on from.

        Raises:
            CallbackFailure: the callback raised.
        """
        self._network, self._actors = network, actors
        callback, saved = self._callback, (resumed or {}).get(CALLBACK)
        if callback is None or not callback.keeps:
            if saved is not None:
                self._notify("the checkpoint holds the state of a callback, and there is none to take it")
        elif saved is not None:
            callback.load(saved)
        else:
            callback.keep()
        if callback is not None:
            actors.ended.keep()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        keeps = self._callback is not None and self._callback.keeps
        return {CALLBACK: self._callback.state} if self._callback is not None and keeps else {}

    def look(self, state: TrainState, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """See a report; whether the run is to end, the checkpoints know then.

        Args:
            state: where training is.
            metrics: of the report, scores included.

        Returns:
            What the callback adds to the row.

        Raises:
            CallbackFailure, EnvironmentFailure: the callback raised, or an environment that it called.
        """
        score = metrics.get(SCORE)
        if self._goal is not None and score is not None and score >= self._goal:
            self._checkpoints.end(f"{SCORE} {score:.2f} reached stop_at={self._cfg.stop_at}")
        if self._callback is None:
            return {}
        progress = Progress(
            state, self._cfg, self._folder, metrics, self._actors.ended.kept, self._network, self._actors.call
        )
        try:
            own = self._callback(progress)
        except GaveUpError:
            self._notify(f"{self._callback.name} did not return in time; the run ends without what it was at")
            return {}
        finally:
            progress.end()
            self._actors.ended.forget()
        self._names += progress.saves
        if progress.stopped is not None:
            self._checkpoints.end(progress.stopped)
        return own

    def wanted(self) -> list[str]:
        """Names of checkpoints that the callback has asked for since the last call."""
        names, self._names = self._names, []
        return names


def goal_of(cfg: Config) -> float | None:
    """The score at which training ends; None: at none.

    Raises:
        ConfigError: it is the threshold of an environment that has none.
    """
    if cfg.stop_at != "threshold":
        return None if cfg.stop_at is None else float(cfg.stop_at)
    threshold = reward_threshold(cfg.env.id)
    if threshold is None:
        raise ConfigError(f"stop_at=threshold: {cfg.env.id} is registered without one; give a score, like stop_at=100")
    return threshold
