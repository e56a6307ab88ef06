"""What a callback sees of a run, and what it may ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from a2c.envs.episodes import Episode
from a2c.envs.rebuilding.calls import Call, call_of
from a2c.network.protocol import Network
from a2c.playing.policy import Policy
from a2c.run.state import TrainState
from a2c.settings.config import Config

_NAME = re.compile(r"(?!last\b|best\b)[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")  # those two are the run's own


class Progress:
    """A report of a run under way, for the callback that :func:`a2c.train` was given.

    There is one for every ``log_every`` env steps, every evaluation and every checkpoint; it is valid until the
    callback returns::

        import a2c

        def on_report(progress: a2c.Progress) -> dict[str, float]:
            lengths = [episode.length for episode in progress.episodes]
            if progress.metrics.get("eval/mean_reward", 0) > 450:
                progress.stop("good enough")
            return {"longest": max(lengths, default=0)}  # logged as callback/longest

        cfg = a2c.load_config("env=cartpole", "total_steps=100_000", "eval.every=10_000")
        a2c.train(cfg, on_report=on_report)

    Args:
        state: where training is.
        cfg: the settings.
        folder: of the run.
        metrics: of this report; with the scores of its evaluation, if it has one.
        episodes: gives those that ended since the last report.
        network: of the learner.
        call: calls a method of every training environment.

    Attributes:
        env_steps, update: how far training is.
        total_steps: where it ends.
        metrics: name -> number, as the row of this report in metrics.jsonl, but for ``time/...`` shares:
            ``rollout/ep_rew_mean``, ``train/entropy``, and ``eval/mean_reward`` where the report has an evaluation.
        cfg, folder: as above.
        stopped: why the callback ends the run; None: it goes on.
        saves: names of the checkpoints that it wants.
    """

    def __init__(
        self,
        state: TrainState,
        cfg: Config,
        folder: Path,
        metrics: Mapping[str, float],
        episodes: Callable[[], Sequence[Episode]],
        network: Network,
        call: Callable[[Call], list[Any]],
    ) -> None:
        self.env_steps, self.update, self.total_steps = state.env_steps, state.update, cfg.total_steps
        self.cfg, self.folder, self.metrics = cfg, folder, dict(metrics)
        self._episodes, self._network, self._call = episodes, network, call
        self._policy: Policy | None = None
        self.stopped: str | None = None
        self.saves: list[str] = []
        self._over = False

    @property
    def episodes(self) -> Sequence[Episode]:
        """The episodes that ended since the last report: ``env``, ``reward``, ``length``, and ``info``, the last one.

        Of an info only plain data are kept: numbers, text, arrays, and dicts and lists of them.

        Raises:
            ConfigError: with ``vectorization=device`` nobody keeps them one by one.
        """
        return self._episodes()

    @property
    def policy(self) -> Policy:
        """The policy of now. It lives on: its weights change with the next update."""
        if self._policy is None:
            self._network.train(False)  # a user's own network may hold dropout or batch statistics
            self._policy = Policy(self._network, self.cfg, env_steps=self.env_steps)
        return self._policy

    def stop(self, why: str) -> None:
        """End the run with this report, in order: a last evaluation and checkpoint, the final score, exit code 0.

        Args:
            why: for the summary and the screen.
        """
        self._check_valid()
        if not isinstance(why, str) or not why.strip():
            raise TypeError("stop needs to be told why, in a few words")
        self.stopped = " ".join(why.split())

    def save(self, name: str) -> None:
        """Keep a checkpoint of this report as ``checkpoints/NAME.pt``; the run never deletes it.

        Args:
            name: of letters, digits and . _ -, and neither last nor best.
        """
        self._check_valid()
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is no name for a checkpoint: letters, digits and . _ - make one, not last, best"
            )
        self.saves.append(name)

    def call(self, name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Call a method of every training environment, wherever it runs, before the next step.

        A resumed run makes the call again, at the same point of every episode.

        Args:
            name: of the method, of the environment or of one of its wrappers.
            args, kwargs: plain data.

        Returns:
            What it returned, ``[N]``; None where that is no plain data.

        Raises:
            TypeError: an argument is no plain data, so that no checkpoint can hold it.
            EnvironmentFailure: an environment raised, died, or took longer than ``env.step_timeout``.
        """
        self._check_valid()
        return self._call(call_of(name, args, kwargs))

    def end(self) -> None:
        """The callback has returned: the run says so, nobody else."""
        self._over = True
        if self._policy is not None:
            self._network.train(True)

    def _check_valid(self) -> None:
        if self._over:
            raise RuntimeError("this report is over; ask in a callback for the next one")
