"""Any rank of a run but the first: it trains in step, and otherwise does what the first asks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from a2c.collecting.collector import Collector
from a2c.collecting.device_collector import AnyCollector
from a2c.envs.choosing.choose import Plan
from a2c.errors import A2CError
from a2c.learning.learner import Learner
from a2c.machine.rank_group import Ranks
from a2c.run.due import Due
from a2c.run.numeric_dump import dump, last_sound
from a2c.run.orders import GoOn, Part, Start, left_unsaved, refused_by_all
from a2c.run.shared_evaluation import SharedEvaluator
from a2c.run.state import TrainState
from a2c.run.stopping import StopRequest
from a2c.run.summary import Summary
from a2c.settings.config import Config

log = logging.getLogger("a2c")


class QuietConsole:
    """Where this rank's lines go: the first rank has the screen."""

    def note(self, text: str) -> None:
        """Write one line to this rank's own log."""
        log.warning("%s", text)


class FollowingRun:
    """The verbs of a :class:`a2c.run.run.Run`, each as the first rank does them.

    Args:
        cfg: the settings.
        ranks: all of them.
        stop: a signal sets it, and all ranks then end in order.
        log_to: called with the file that this rank's own output goes to.
        evaluator: of this rank.
    """

    def __init__(
        self,
        cfg: Config,
        ranks: Ranks,
        stop: StopRequest,
        log_to: Callable[[Path], None],
        evaluator: SharedEvaluator,
    ) -> None:
        self._cfg, self._ranks, self._stop, self._evaluator = cfg, ranks, stop, evaluator
        self.console = QuietConsole()
        self._over = False
        self._part: Part  # begin() sets these two
        self._due: Due
        ranks.stop_when(lambda: bool(stop))
        start = ranks.hear()
        assert isinstance(start, Start)
        self._start = start
        log_to(start.folder / f"rank-{ranks.rank}.log")

    @property
    def update(self) -> int:
        return self._start.state.update

    def begin(
        self, learner: Learner, collector: AnyCollector, environments: Mapping[str, str], plan: Plan | None = None
    ) -> TrainState:
        cfg, state = self._cfg, self._start.state
        assert isinstance(collector, Collector)  # settings/rules.py
        self._part = Part(self._ranks, learner, collector, cfg.num_envs, self._evaluator)
        self._due = Due(
            state,
            cfg.total_steps,
            log_every=cfg.log_every,
            eval_every=cfg.eval.every,
            save_every=cfg.checkpoint.every,
            evaluates=self._start.evaluates,
        )
        return state

    def take_up(self) -> None:
        self._obey()

    def over(self) -> bool:
        return self._ranks.stopping or self._over

    def due(self, state: TrainState) -> bool:
        return self._due.report(state)

    def report(self, state: TrainState) -> None:
        learner = self._part.learner
        learner.averaging.to_first(learner.metrics.products)
        self._obey()
        self._due.reported(state)

    def rescue(self, error: A2CError, state: TrainState) -> None:
        """Give the first rank what it saves, if it can; dump what an environment of this rank gave."""
        if refused_by_all(error):
            self._part.refused = error
            self._obey()
        elif last_sound(error, self._part.learner, state) is not None:
            dump(error, self._cfg, self._part.learner, state, self._start.folder, f"-rank-{self._ranks.rank}")

    def give_up(self) -> None:
        raise left_unsaved(self._stop)

    def finish(self, state: TrainState) -> Summary:
        order = self._obey()
        assert order.summary is not None, "a run ends once"
        return order.summary

    def _obey(self) -> GoOn:
        """Do what the first rank asks, until it goes on."""
        while not isinstance(order := self._ranks.hear(), GoOn):
            self._ranks.hand_in(self._part.obey(order))
        self._over = order.over
        return order
