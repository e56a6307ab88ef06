"""A shard notes what each of its episodes begins from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2c.envs.rebuilding.calls import Call, CallsAgain, History
from a2c.envs.rebuilding.in_flight import Episode
from a2c.envs.rebuilding.origins import (
    RENEW,
    STATE,
    WORDS,
    CannotRebuildError,
    Env,
    Words,
    play_again,
    renewed,
    state_of,
    words_of,
)
from a2c.envs.rebuilding.pulse import Pulsing, marked
from a2c.envs.rebuilding.trial import agrees

KEPT = 64  # beginnings of each environment; whoever asks for one asks within a rollout or two


def beginnings_memory(num_envs: int) -> tuple[tuple[int, ...], type]:
    """Shape and dtype of the memory that the shards of N environments write beginnings to."""
    return (KEPT, num_envs, 1 + WORDS), np.uint64


class Beginnings:
    """Resets the environments of a shard, and notes from what.

    Args:
        kind: how their episodes are rebuilt.
        envs: of the shard; RENEW puts other instances into the list.
        env_fns: made them.
        memory: ``[KEPT, n, 1 + WORDS]`` uint64, row ``number % KEPT``: the number of an episode and what it began from.
        calls: that all environments have had; whoever makes another adds it.
    """

    def __init__(
        self,
        kind: str,
        envs: list[Env],
        env_fns: Sequence[Callable[[], Env]],
        memory: NDArray[Any],
        calls: Sequence[Call] = (),
    ) -> None:
        self._kind, self._envs, self._env_fns, self._memory, self._calls = kind, envs, env_fns, memory, calls
        self._numbers = [0] * len(envs)  # of the episodes under way
        self.states: dict[tuple[int, int], Any] = {}  # (row, number) -> what get_state gave, until it is told

    def reset(self, row: int, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Reset an environment as Gymnasium does; its next episode begins."""
        self._renew(row)
        for call in self._calls if self._kind == RENEW else ():
            call.on(self._envs[row])
        return self._begin(row, seed, options)

    def rebuild(self, row: int, episode: Episode, cell: NDArray[Any], history: History = ()) -> tuple[str | None, Any]:
        """Bring an environment to where its episode was, or reset it where that cannot be done.

        Args:
            row: of the environment in the shard.
            episode: to play again.
            cell: ``[1]``, of :class:`a2c.envs.rebuilding.pulse.Pulsing`.
            history: the calls that it had; this one has had none.

        Returns:
            Why not, None if it is there; and its observation.

        Raises:
            Exception: what the environment raises.
        """
        self._renew(row)
        self._numbers[row] = episode.number - 1
        calls = self._calls_again(row, episode, cell, history)
        if episode.origin is None or episode.actions is None:
            why = "its actions are too many to keep"
        else:
            self._note(row, episode.origin.words, episode.origin.state)
            try:
                obs = play_again(Pulsing(self._envs[row], cell), episode.origin, episode.actions, calls)
                if episode.obs is None or agrees(obs, episode.obs):
                    calls.up_to(len(episode.actions))
                    return None, obs
                why = "played again, it does not come to where it was"
            except CannotRebuildError as error:
                why = str(error)
            self._numbers[row] = episode.number - 1
            if self._kind == RENEW:
                self._renew(row)
                calls = self._calls_again(row, episode, cell, history)
        return why, begun(calls, episode, lambda: self._begin(row, episode.seed)[0])

    def _renew(self, row: int) -> None:
        if self._kind == RENEW:
            self._envs[row] = renewed(self._envs[row], self._env_fns[row])

    def _begin(self, row: int, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        env = self._envs[row]
        self._note(row, words_of(env, seed, options), state_of(env) if self._kind == STATE else None)
        return env.reset() if seed is None and options is None else env.reset(seed=seed, options=options)

    def _calls_again(self, row: int, episode: Episode, cell: NDArray[Any], history: History) -> CallsAgain:
        return calls_again(self._envs[row], episode, cell, history)

    def told(self) -> dict[tuple[int, int], Any]:
        """What get_state gave since the last call: (row, number of the episode) -> state."""
        told, self.states = self.states, {}
        return told

    def _note(self, row: int, words: Words, state: Any) -> None:
        self._numbers[row] = number = self._numbers[row] + 1
        self._memory[number % KEPT, row] = (number, *words)
        if state is not None:
            self.states[row, number] = state


def calls_again(env: Env, episode: Episode, cell: NDArray[Any], history: History) -> CallsAgain:
    """The calls that an environment had, to be made again on this one.

    Args:
        env: it has had none.
        episode: that is played again or, if that is not known, begins anew.
        cell: as of :meth:`Beginnings.rebuild`.
        history: of the calls.
    """
    steps = 0 if episode.actions is None else len(episode.actions)
    return CallsAgain(history, steps, lambda call: marked(cell, lambda: call.on(env)))


def begun(calls: CallsAgain, episode: Episode, reset: Callable[[], Any]) -> Any:
    """Reset an environment in the place of an episode that cannot be played again, among the calls that it had."""
    steps = 0 if episode.actions is None else len(episode.actions)
    calls.up_to(steps - 1)
    obs = reset()
    calls.up_to(steps)
    return obs
