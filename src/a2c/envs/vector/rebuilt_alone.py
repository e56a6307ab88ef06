"""Rebuild episodes where every environment has a process of its own (``vectorization=async``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array

from a2c.envs.rebuilding.beginnings import KEPT, Beginnings
from a2c.envs.rebuilding.in_flight import Episode
from a2c.envs.rebuilding.origins import RESTART, WORDS, Env, Origin
from a2c.envs.rebuilding.trial import Rebuilding, try_out


class Rebuildable(gym.Wrapper[Any, Any, Any, Any]):
    """An environment in its own process, whose episodes :class:`ProcessRebuilder` rebuilds.

    Args:
        make: makes the environment.
        index: of it.
    """

    def __init__(self, make: Callable[[], Env], index: int) -> None:
        self._envs, self._make, self._index = [make()], make, index
        super().__init__(self._envs[0])
        self._memory = np.zeros((KEPT, 1, 1 + WORDS), np.uint64)
        self._beginnings: Beginnings | None = None
        self._states: dict[int, Any] = {}  # number of an episode -> what get_state gave before it
        self._obs: Any = None  # of the latest reset

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As in Gymnasium."""
        if self._beginnings is None:
            return self.env.reset(seed=seed, options=options)
        self._obs, info = self._beginnings.reset(0, seed, options)
        self._noted()
        return self._obs, info

    def try_out(self, seed: int, alone: bool) -> Rebuilding | None:
        """As :meth:`Rebuilder.try_out`, of the first environment."""
        if self._index:
            return None
        scratch = self.env if alone else self._make()
        try:
            return try_out(scratch, None if alone else self._make, seed)
        finally:
            if not alone:
                scratch.close()

    def note_beginnings(self, kind: str) -> None:
        """As :meth:`Rebuilder.prepare`."""
        self._beginnings = None if kind == RESTART else Beginnings(kind, self._envs, [self._make], self._memory)

    def origin(self, numbers: Sequence[int]) -> Origin | None:
        """As :meth:`Rebuilder.origins`, of this environment."""
        number = numbers[self._index]
        known, one, two, three, four, five, six = self._memory[number % KEPT, 0].tolist()
        return Origin((one, two, three, four, five, six), self._states.get(number)) if known == number else None

    def rebuild(self, episodes: Mapping[int, Episode]) -> tuple[str | None, Any]:
        """As :meth:`Rebuilder.rebuild`, of this environment: why not, and the observation."""
        episode, why = episodes.get(self._index), None
        if episode is not None and self._beginnings is not None:
            why, self._obs = self._beginnings.rebuild(0, episode)
            self._noted()
        return why, self._obs

    def _noted(self) -> None:
        assert self._beginnings is not None
        self.env = self._envs[0]  # perhaps another instance
        for (_, number), state in self._beginnings.told().items():
            self._states[number] = state
            self._states.pop(number - KEPT, None)


class ProcessRebuilder:
    """Asks every process; :class:`a2c.envs.rebuilding.in_flight.Rebuilder` has the contract.

    Args:
        envs: all of them :class:`Rebuildable`.
    """

    def __init__(self, envs: AsyncVectorEnv[Any, Any]) -> None:
        self._envs = envs

    def try_out(self, seed: int, alone: bool) -> Rebuilding:
        found: Rebuilding = self._envs.call("try_out", seed, alone)[0]
        return found

    def prepare(self, kind: str) -> None:
        self._envs.call("note_beginnings", kind)

    def origins(self, numbers: Sequence[int]) -> list[Origin | None]:
        return list(self._envs.call("origin", numbers))

    def rebuild(self, episodes: Mapping[int, Episode]) -> tuple[dict[int, str], Any]:
        answers = self._envs.call("rebuild", episodes)
        space, count = self._envs.single_observation_space, self._envs.num_envs
        batch = create_empty_array(space, count)
        assert batch is not None
        obs = concatenate(space, [obs for _, obs in answers], batch)
        return {env: why for env, (why, _) in enumerate(answers) if why is not None}, obs

    def failed(self) -> list[int]:
        return []  # Gymnasium's own class gives up with the first failure

    def revive(self, episodes: Mapping[int, Episode], info_keys: Sequence[str]) -> dict[int, str]:
        raise NotImplementedError
