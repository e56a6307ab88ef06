"""An evaluation whose episodes the ranks share out, each with the seed that it has in one process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from a2c.errors import A2CError, RankFailure
from a2c.machine.processes.foreign_code import GaveUpError, of_others, of_ours
from a2c.machine.rank_errand import Errand
from a2c.machine.rank_group import Ranks
from a2c.network.flat_weights import flatten_parameters
from a2c.network.making import OwnNetwork, make_network
from a2c.network.protocol import Network, device_of
from a2c.playing.evaluation import EvalResult, Evaluator
from a2c.playing.policy import Policy
from a2c.run.evaluation_ways import NETWORK_SETTINGS, abreast
from a2c.settings.config import Config
from a2c.storage.checkpoint import frozen

Played = EvalResult | A2CError | None  # scores; or what an environment did; or nothing, since the run is to end


@dataclass(frozen=True, slots=True)
class Play:
    """Play this rank's share of an evaluation.

    Attributes:
        seeds: of all its episodes.
        settings: by which the network differs from the run's.
        weights: of it; None: the policy is the learner's of now, which all ranks have.
    """

    seeds: Sequence[int]
    settings: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Any] | None = field(default=None, repr=False)


class SharedEvaluator:
    """Of every rank one: the first rank's plays with all of them, as an :class:`Evaluator` does alone.

    Args:
        cfg: the settings of the run.
        ranks: all of them.
        network: makes a network of the user's.
    """

    def __init__(self, cfg: Config, ranks: Ranks, network: OwnNetwork | None = None) -> None:
        self._cfg, self._ranks, self._own = cfg, ranks, network
        self._learners: Network  # open() sets it
        self._evaluator: Evaluator | None = None
        self._errands = 0

    def open(self, network: Network) -> None:
        """Take the learner's network, which is the same on all ranks whenever the first one asks for anything."""
        self._learners = network

    def ready(self) -> SharedEvaluator:
        """Make the environments; raises as :class:`Evaluator`."""
        self._environments()
        return self

    @property
    def limit(self) -> int | None:
        """As of an :class:`Evaluator`."""
        return self._environments().limit

    def run(
        self, policy: Policy, seeds: list[int], *, stop: Callable[[], bool], ended: Callable[[int], object]
    ) -> EvalResult | None:
        """On the first rank, play an episode for every seed, with all ranks; as :meth:`Evaluator.run`.

        Raises:
            EnvironmentFailure, NumericError: an environment of some rank raised or broke its contract.
            RankFailure: a rank has ended, or hangs.
        """
        return of_ours(self._with_all, policy, seeds, stop, ended)

    def play(self, order: Play) -> Played:
        """On another rank, play its share; raises :class:`RankFailure` as :meth:`run`."""
        network, settings = self._learners, order.settings
        if order.weights is not None:
            network = make_network(replace(self._cfg, **settings), network.spaces, self._own)
            network.load_state_dict(order.weights)
            network = network.to(device_of(self._learners))
            flatten_parameters(network)  # as on the first rank: the last bits of sums depend on where numbers lie
        network.train(False)
        played = self._share(Policy(network, self._cfg), order.seeds, lambda: self._ranks.wants_to_stop)
        self._learners.train(True)
        return played

    def close(self) -> None:
        """Close the environments; in a run that is to end, do not wait long for them."""
        if self._evaluator is not None:
            with contextlib.suppress(GaveUpError):
                of_others(self._evaluator.close)
            self._evaluator = None

    def _with_all(
        self, policy: Policy, seeds: list[int], stop: Callable[[], bool], ended: Callable[[int], object]
    ) -> EvalResult | None:
        order = Play(seeds)
        if policy.model is not self._learners:
            settings = {name: getattr(policy.cfg, name) for name in NETWORK_SETTINGS}
            order = Play(seeds, settings, frozen(policy.model.state_dict()))
        self._ranks.tell(order)
        return joined(self._ranks.hand_in(self._share(policy, seeds, stop, ended)))

    def _share(
        self,
        policy: Policy,
        seeds: Sequence[int],
        stops: Callable[[], bool],
        ended: Callable[[int], object] = lambda count: None,
    ) -> Played:
        errand = Errand(self._ranks, self._errands, stops, ended)
        self._errands += 1
        own = [seeds[row] for row in self._ranks.rows(len(seeds))]
        played: Played = EvalResult([], [])
        try:
            if own:
                evaluator = self._environments()
                played = of_others(evaluator.run, policy, own, stop=errand.ends, ended=errand.did)
        except RankFailure:
            raise
        except A2CError as error:  # told by the first rank, with all others between two orders: the run is saved
            played = self._named(error)
        except GaveUpError:
            played = None
            self.close()
        if not isinstance(played, EvalResult):
            errand.break_off()
        errand.wait()
        self._ranks.stopping = self._ranks.stopping or errand.stopped
        return played

    def _environments(self) -> Evaluator:
        if self._evaluator is None:
            cfg = self._cfg
            share = len(self._ranks.rows(max(cfg.eval.episodes, cfg.eval.final_episodes)))
            # One at least: the first rank asks it whether it has a time limit, and it fails early.
            self._evaluator = of_others(Evaluator, cfg.env, abreast(cfg, max(1, share)), cfg.eval.max_steps)
        return self._evaluator

    def _named(self, error: A2CError) -> A2CError:
        if not self._ranks.leads:
            error.args = (f"rank {self._ranks.rank}: {error.args[0]}", *error.args[1:])
        return error


def joined(shares: Sequence[Played]) -> EvalResult | None:
    """The scores of all episodes, from those of each rank in order; None: a rank has left its share.

    Raises:
        A2CError: the first that a rank met.
    """
    scores = []
    for share in shares:
        if isinstance(share, A2CError):
            raise share
        if share is not None:
            scores.append(share)
    if len(scores) < len(shares):
        return None
    rewards = [reward for one in scores for reward in one.rewards]
    lengths = [length for one in scores for length in one.lengths]
    return EvalResult(rewards, lengths, sum(one.cut for one in scores))
