"""The episodes in flight of environments in lockstep: keep what rebuilds them, and rebuild them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from a2c.envs.episodes import EpisodeStatistics, LifeCounter
from a2c.envs.rebuilding.calls import Call, History
from a2c.envs.rebuilding.origins import Origin
from a2c.envs.rebuilding.past import Mark, Past
from a2c.envs.rebuilding.trial import Rebuilding
from a2c.maths.trees import tree_map

# Keys of the infos that anyone reads, and of those with which episodes end; None: all
KeptInfos = tuple[Sequence[str], Collection[str] | None]


@dataclass(frozen=True, slots=True)
class Episode:
    """What rebuilds an episode in flight."""

    number: int  # of the environment's episodes, from 1
    origin: Origin | None  # None: it is not known
    actions: NDArray[Any] | None  # [steps, *action]; None: they are not known
    obs: Any  # that it must give then, a tree; None: nobody knows
    seed: int  # to reset with if it cannot be rebuilt


class Rebuilder(Protocol):
    """What a vector environment offers that can rebuild episodes.

    Attributes:
        step_timeout: seconds that one reset or step may take when it does; None: any time. In this process nothing can
            interrupt an environment.
    """

    step_timeout: float | None

    def try_out(self, seed: int, alone: bool) -> Rebuilding:
        """Try out on the first environment how episodes can be rebuilt.

        Args:
            seed: of the trial.
            alone: make no second instance for it.
        """

    def prepare(self, kind: str) -> None:
        """From the next reset on, note what episodes begin from."""

    def origins(self, numbers: Sequence[int], between: bool) -> list[Origin | None]:
        """What an episode of each environment began from, by its number; None if that is no longer known.

        Args:
            numbers: ``[N]``, from 1.
            between: two rollouts; False: within one, which failed, and nothing can be asked of the environments.
        """

    def call(self, call: Call) -> list[Any]:
        """Call a method of every environment; returns what they gave, ``[N]``; raises what one raises."""

    def rebuild(self, episodes: Mapping[int, Episode], history: History) -> tuple[dict[int, str], Any]:
        """Bring environments to where their episodes were.

        Args:
            episodes: by environment.
            history: the calls that all had until then.

        Returns:
            Why not, for each environment where it could not be done; it has been reset instead. And the ``[N, *obs]``
            observations of all.
        """

    def failed(self) -> list[int]:
        """The environments of the shards that failed in the pending step; none where nothing can be revived."""

    def revive(self, episodes: Mapping[int, Episode], infos: KeptInfos, history: History) -> dict[int, str]:
        """Make these environments anew, bring them to where they were, and let them take the pending step.

        Args:
            episodes: of all that failed.
            infos: the only ones that anyone reads.
            history: the calls that all environments had until the pending step.

        Returns:
            Why not, for each environment that began another episode instead.

        Raises:
            Exception: what an environment raised; it can be called again.
        """


class InFlight:
    """Episodes in flight of N environments.

    Args:
        rebuilder: of the vector environment.
        statistics: of the episodes.
        lives: that are left in them; None: nobody counts.
    """

    def __init__(self, rebuilder: Rebuilder, statistics: EpisodeStatistics, lives: LifeCounter | None) -> None:
        self._rebuilder, self._statistics, self._lives = rebuilder, statistics, lives
        self._past = Past(statistics.num_envs)
        self.record, self.begin = self._past.record, self._past.begin
        self._mark: tuple[Mark, dict[str, NDArray[Any]]] | None = None

    def mark(self) -> None:
        """A rollout begins: until it is there, :meth:`state_dict` is that of now."""
        self._mark = self._past.mark(), self._counts()
        self._past.hold(self._mark[0])

    def settle(self) -> None:
        """The rollout is there."""
        self._mark = None
        self._past.hold(None)

    def state_dict(self) -> dict[str, Any]:
        """What rebuilds the episodes: NumPy arrays ``[N]``, and of each environment a dict, None where nothing does."""
        mark, counts = self._mark or (self._past.mark(), self._counts())
        origins = self._rebuilder.origins(mark.numbers.tolist(), self._mark is None)
        return {**counts, "episodes": [self._episode(mark, env, origin) for env, origin in enumerate(origins)]}

    def load_state_dict(
        self, state: Mapping[str, Any], seeds: Sequence[int], history: History
    ) -> tuple[dict[int, str], Any]:
        """Bring environments to where a state has them; all have just been reset.

        Args:
            state: of :meth:`state_dict`, and ``obs``, the ``[N, *obs]`` observations of then, a tree.
            seeds: for environments that cannot be brought there.
            history: the calls that all environments had until then.

        Returns:
            Why not, for each environment where it could not be done, and the ``[N, *obs]`` observations of all.

        Raises:
            Exception: what an environment raises.
        """
        saved = state["episodes"]
        lacking = {env: "nothing was saved of it" for env, one in enumerate(saved) if one is None}
        episodes = {
            env: _from_dict(one, tree_map(lambda part, env=env: part[env], state["obs"]), seeds[env])
            for env, one in enumerate(saved)
            if one is not None
        }
        if history:  # which those that begin anew have had, too
            episodes |= {env: Episode(1, None, None, None, seeds[env]) for env in lacking}
        failed, obs = self._rebuilder.rebuild(episodes, history)
        done = {env: episode for env, episode in episodes.items() if env not in failed}
        self._past.load({env: (one.number, one.actions) for env, one in done.items() if one.actions is not None})
        for env in failed:
            self._past.begin_at(env, episodes[env].number)
        rows = np.array(list(done), np.intp)
        self._statistics.load(rows, state)
        if self._lives is not None:
            self._lives.load(rows, state["lives"])
        return failed | lacking, obs

    def episodes(self, envs: Sequence[int], seeds: Sequence[int]) -> dict[int, Episode]:
        """The episodes of some environments as they were before the step that is pending, for :meth:`Rebuilder.revive`.

        Args:
            envs: which.
            seeds: to reset with those that cannot be rebuilt.
        """
        mark = self._past.before_last()
        origins = self._rebuilder.origins(mark.numbers.tolist(), False)
        return {
            env: Episode(int(mark.numbers[env]), origins[env], self._past.since(mark, env), None, seed)
            for env, seed in zip(envs, seeds, strict=True)
        }

    def restart(self, envs: Sequence[int]) -> None:
        """Other episodes began in these environments, with the step that is pending."""
        self._past.restart(envs)

    def _counts(self) -> dict[str, NDArray[Any]]:
        lives = {} if self._lives is None else {"lives": self._lives.lives.copy()}
        return self._statistics.state_dict() | lives

    def _episode(self, mark: Mark, env: int, origin: Origin | None) -> dict[str, Any] | None:
        actions = self._past.since(mark, env)
        if origin is None or actions is None:
            return None
        number = int(mark.numbers[env])
        return {"number": number, "words": list(origin.words), "state": origin.state, "actions": actions}


def _from_dict(saved: Mapping[str, Any], obs: Any, seed: int) -> Episode:
    one, two, three, four, five, six = (int(word) for word in saved["words"])
    origin = Origin((one, two, three, four, five, six), saved["state"])
    return Episode(int(saved["number"]), origin, saved["actions"], obs, seed)
