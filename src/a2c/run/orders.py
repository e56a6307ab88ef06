"""What the first rank of a run asks of the others while it reports, and what all of them then do.

In training itself nobody asks: every rank collects, and the sum of the gradients keeps them in step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from torch import Tensor

from a2c.collecting.collector import Collector
from a2c.collecting.rank_states import state_of_rows
from a2c.envs.episodes import Episode
from a2c.envs.rebuilding.calls import Call
from a2c.errors import A2CError, NumericError, StoppedError
from a2c.learning.learner import Learner
from a2c.machine.rank_group import Ranks
from a2c.run.numeric_dump import at_fault
from a2c.run.shared_evaluation import Play, SharedEvaluator
from a2c.run.state import TrainState
from a2c.run.stopping import StopRequest
from a2c.run.summary import Summary


@dataclass(frozen=True, slots=True)
class Begin:
    """Train; or, with the summary of a run that is finished, do nothing."""

    finished: Summary | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Where training starts.

    Attributes:
        state: of the checkpoint, or of a new run.
        evaluates: whether there are evaluations.
        folder: of the run.
    """

    state: TrainState
    evaluates: bool
    folder: Path


@dataclass(frozen=True, slots=True)
class GoOn:
    """Train until the next report; or end, when the run is over.

    Attributes:
        over: there is no update to come.
        summary: of the run, at its very end.
    """

    over: bool = False
    summary: Summary | None = None


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell the episodes that ended since the last time, and a hash of the weights."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep of last infos what these keys name; None: all."""

    keys: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Save:
    """Give the state of the environments."""


@dataclass(frozen=True, slots=True)
class Load:
    """Go on from a checkpoint: the learner's state, and that of a collector of all environments."""

    learner: dict[str, Any] = field(repr=False)
    collector: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Blame:
    """Give the evidence of the update that all have refused, if it is this rank's rollout that is not finite."""


Question = Tell | Keep | Save | Load | Play | Blame | Call  # that every rank answers


class Part:
    """The learner and the environments of one rank, which do what is asked.

    Args:
        ranks: all of them.
        learner: of this rank, the same everywhere.
        collector: of its environments.
        num_envs: N over all ranks.
        evaluator: of this rank.

    Attributes:
        refused: the error of the update that this rank has refused last, where that shows at once.
    """

    def __init__(
        self, ranks: Ranks, learner: Learner, collector: Collector, num_envs: int, evaluator: SharedEvaluator
    ) -> None:
        self.learner, self.collector, self._evaluator = learner, collector, evaluator
        self.refused: NumericError | None = None
        self._ranks, self._num_envs = ranks, num_envs
        self._rows = ranks.rows(num_envs)
        collector.ended.keep(())
        evaluator.open(learner.model)

    def obey(self, order: Question) -> Any:
        """Do it; the first rank gets what each gives.

        Raises:
            EnvironmentFailure: an environment raised.
            CheckpointError, RuntimeError, ValueError, KeyError, TypeError: a state does not fit.
        """
        if isinstance(order, Tell):
            return self._episodes(), hash_of(self.learner.weights)
        if isinstance(order, Keep):
            return self.collector.ended.keep(order.keys)
        if isinstance(order, Save):
            self.learner.averaging.to_first(self.learner.metrics.products)
            return self._episodes(), self.collector.state_dict()
        if isinstance(order, Load):
            return self._load(order)
        if isinstance(order, Play):
            return self._evaluator.play(order)
        if isinstance(order, Blame):
            refused = self.refused or self.learner.refused()
            return refused.evidence if refused is not None and at_fault(refused, self.learner) else None
        return self.collector.call(order)

    def _episodes(self) -> list[Episode]:
        ended = self.collector.ended.kept()
        self.collector.ended.forget()
        for episode in ended:
            episode.env += self._rows.start
        return ended

    def _load(self, order: Load) -> str:
        self.learner.load_state_dict(order.learner)
        if not self._ranks.leads:
            self.learner.metrics.take()  # the first has them
        return self.collector.load_state_dict(state_of_rows(order.collector, self._rows, self._num_envs))


def finished_before(ranks: Ranks) -> Summary | None:
    """Whether the first rank has found that the run is finished; its summary then. On the first rank: it is not."""
    if ranks.leads:
        ranks.tell(Begin())
        return None
    begin = ranks.hear()
    assert isinstance(begin, Begin)
    return begin.finished


def hash_of(weights: Tensor) -> str:
    """Of their bytes."""
    return hashlib.sha256(weights.detach().cpu().numpy().tobytes()).hexdigest()


def left_unsaved(stop: StopRequest) -> StoppedError:
    """What ends a rank that was to stop, while the others are in the middle of an update and give no state."""
    text = "an environment did not answer, so that nothing was saved since the last checkpoint"
    return StoppedError(stop.signal or "SIGTERM", text)


def refused_by_all(error: A2CError) -> TypeGuard[NumericError]:
    """Whether this is an update that every rank has refused, so that all of them are between two updates."""
    return isinstance(error, NumericError) and "counted" in (error.evidence or {})
