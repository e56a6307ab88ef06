"""The first rank of a run: it keeps the run, as one process alone would, and asks the others for their part."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from a2c.collecting.collector import Collector
from a2c.collecting.device_collector import AnyCollector
from a2c.collecting.ended_episodes import EndedEpisodes
from a2c.collecting.going_on import GO_ON, START_OVER, to_episodes, to_tensor
from a2c.collecting.rank_states import merged_states
from a2c.envs.choosing.choose import Plan
from a2c.envs.episodes import Episode, episode_means
from a2c.envs.rebuilding.calls import Call
from a2c.errors import A2CError, NumericError, RankFailure
from a2c.learning.learner import Learner
from a2c.machine.clock import Clock
from a2c.machine.rank_group import Ranks
from a2c.run.orders import Blame, GoOn, Keep, Load, Part, Question, Save, Start, Tell, left_unsaved, refused_by_all
from a2c.run.run import Run
from a2c.run.shared_evaluation import SharedEvaluator
from a2c.run.showing.console import Console
from a2c.run.state import TrainState
from a2c.run.summary import Summary
from a2c.settings.config import Config
from a2c.storage.checkpoint import frozen


class LeadingRun:
    """A :class:`Run` that goes in step with other ranks; each verb as there.

    Args:
        run: the run.
        ranks: all of them; this is the first.
        evaluator: of the run, where it evaluates in place.
    """

    def __init__(self, run: Run, ranks: Ranks, evaluator: SharedEvaluator) -> None:
        self._run, self._ranks, self._evaluator = run, ranks, evaluator
        self._everyone: Everyone  # begin() sets it
        self._listening = True  # the others wait for orders, and do not train
        ranks.stop_when(lambda: bool(run.stop))
        ranks.tell(Start(run.start, run.evaluates, run.folder))

    @property
    def console(self) -> Console:
        return self._run.console

    @property
    def update(self) -> int:
        return self._run.update

    def begin(
        self, learner: Learner, collector: AnyCollector, environments: Mapping[str, str], plan: Plan | None = None
    ) -> TrainState:
        cfg, ranks = self._run.cfg, self._ranks
        assert isinstance(collector, Collector)  # settings/rules.py
        part = Part(ranks, learner, collector, cfg.num_envs, self._evaluator)
        self._everyone = Everyone(ranks, part, cfg, self.console.note)
        shared = {"ranks": f"{ranks.size}, each with its share of the {cfg.num_envs} environments"}
        return self._run.begin(learner, self._everyone, shared | dict(environments), plan)

    def take_up(self) -> None:
        self._run.take_up()
        self._go_on()

    def over(self) -> bool:
        """Whether all ranks end here: one was asked to, and has told the others; or the run is over."""
        self._heed_stop()
        return self._ranks.stopping or self._run.ended

    def due(self, state: TrainState) -> bool:
        return self._run.due(state)

    def report(self, state: TrainState) -> None:
        self._listening = True
        self._run.report(state)
        self._go_on()

    def rescue(self, error: A2CError, state: TrainState) -> None:
        if refused_by_all(error):
            self._everyone.blame(error)
            self._run.rescue(error, state)
            self._everyone.go_on(over=True)
        elif self._listening:
            self._run.rescue(error, state)
        else:  # the others are in the middle of an update, and give no state
            self.console.note("the run can go on from its last checkpoint")

    def give_up(self) -> None:
        raise left_unsaved(self._run.stop)

    def finish(self, state: TrainState) -> Summary:
        summary = self._run.finish(state)
        self._everyone.go_on(over=True, summary=summary)
        return summary

    def _heed_stop(self) -> None:
        if self._ranks.stopping:
            self._run.stop.heard()  # another rank's

    def _go_on(self) -> None:
        self._heed_stop()  # in an evaluation, which may have been the last thing before the end
        self._everyone.go_on(over=self._run.ended)
        self._listening = False


class Everyone:
    """The environments of all ranks, as a run needs them (:class:`a2c.run.checkpoints.Actors`).

    Args:
        ranks: all of them; this is the first.
        part: its own learner and environments.
        cfg: the settings of the run.
        notify: called with one line about infos that make no metric.

    Attributes:
        episode_count: episodes that ended so far.
        ended: for whoever looks at each.
    """

    def __init__(self, ranks: Ranks, part: Part, cfg: Config, notify: Callable[[str], object]) -> None:
        self._ranks, self._part, self._cfg = ranks, part, cfg
        self._episodes: deque[Episode] = deque(maxlen=max(100, cfg.num_envs))
        self.episode_count = 0
        self.ended = EndedEpisodes(cfg.log_info, self._keep, notify)

    @property
    def clock(self) -> Clock:
        """Where the first rank's time goes; the others wait for the slowest, as it does."""
        return self._part.collector.clock

    def go_on(self, over: bool, summary: Summary | None = None) -> None:
        """Let the others train on, or end."""
        self._ranks.tell(GoOn(over, summary))

    def metrics(self) -> dict[str, Any]:
        """As of one collector of all environments.

        Raises:
            RankFailure: the weights of a rank are not those of the others.
        """
        told = self._ask(Tell())
        self._count([episodes for episodes, _ in told])
        hashes = [found for _, found in told]
        if others := [rank for rank, found in enumerate(hashes) if found != hashes[0]]:
            raise RankFailure(f"the weights of rank {others[0]} are not those of rank 0: they diverged")
        return episode_means(self._episodes, self.episode_count) | self.ended.report()

    def call(self, call: Call) -> list[Any]:
        """Call a method of every environment before the next rollout; returns what they gave."""
        return [result for results in self._ask(call) for result in results]

    def state_dict(self) -> dict[str, Any]:
        """As of one collector of all environments."""
        given = self._ask(Save())
        self._count([episodes for episodes, _ in given])
        merged = merged_states([state for _, state in given])
        return {**merged, "episodes": to_tensor(self._episodes), "ended": self.ended.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> str:
        """Let every rank go on with its own; says in one line what came of the episodes in flight."""
        self._episodes.extend(to_episodes(state["episodes"]) if "episodes" in state else ())
        self.ended.load_state_dict(state.get("ended", {}))
        rest = {**state, "episodes": to_tensor([]), "ended": {}}
        came: list[str] = self._ask(Load(frozen(self._part.learner.state_dict()), rest))
        saved = state.get("in_flight")
        had = self._cfg.num_envs if saved is None else len(saved.get("episodes", ()))
        if had not in (0, self._cfg.num_envs):
            return f"{START_OVER}: there were {had} environments, now there are {self._cfg.num_envs}"
        return next((line for line in came if line != GO_ON), GO_ON)

    def blame(self, error: NumericError) -> None:
        """Name in the error of an update that all have refused the rank whose rollout it is, with the evidence of it.

        Where the sum alone is not finite, the first rank's rollout stays.
        """
        self._part.refused = error
        given = self._ask(Blame())
        for rank, evidence in enumerate(given):
            if evidence is not None:
                error.evidence = evidence
                error.args = (f"{error.args[0]}; the numbers are those of rank {rank}",)
                return

    def _keep(self, keys: Sequence[str] | None) -> None:
        self._ask(Keep(keys))

    def _ask(self, order: Question) -> list[Any]:
        self._ranks.tell(order)
        return self._ranks.hand_in(self._part.obey(order))

    def _count(self, ended: Sequence[Sequence[Episode]]) -> None:
        """Note episodes in the order in which they ended, whichever rank they are of."""
        episodes = sorted((one for part in ended for one in part), key=lambda one: (one.step, one.env))
        self._episodes.extend(episodes)
        self.episode_count += len(episodes)
        self.ended.add(episodes)
