"""Rebuild episodes where every environment has a process of its own (``vectorization=async``)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array
from numpy.typing import NDArray

from a2c.envs.foreign import named_failure, users_own
from a2c.envs.rebuilding.beginnings import KEPT, Beginnings
from a2c.envs.rebuilding.calls import Call, History
from a2c.envs.rebuilding.in_flight import Episode, KeptInfos
from a2c.envs.rebuilding.origins import RESTART, STATE, WORDS, Env, Origin
from a2c.envs.rebuilding.pulse import Pulse, marked
from a2c.envs.rebuilding.trial import Rebuilding, try_out_watched
from a2c.errors import A2CError
from a2c.machine.processes.failure_report import EnvironmentTimeoutError
from a2c.machine.processes.shared_arrays import SharedArrays

_TICK = 0.25  # seconds


def shared_memory(num_envs: int) -> SharedArrays:
    """Memory for the origins ``[KEPT, N, 1 + WORDS]`` and the calls ``[N]`` of N environments; no dead one takes it."""
    return SharedArrays({"origins": ((KEPT, num_envs, 1 + WORDS), "uint64"), "calls": ((num_envs,), "int64")})


class Rebuildable(gym.Wrapper[Any, Any, Any, Any]):
    """An environment in its own process, whose episodes :class:`ProcessRebuilder` rebuilds.

    Args:
        make: makes the environment.
        index: of it.
        memory: of :func:`shared_memory`.
    """

    def __init__(self, make: Callable[[], Env], index: int, memory: SharedArrays) -> None:
        self._envs, self._make, self._index = [make()], make, index
        super().__init__(self._envs[0])
        self._memory: NDArray[Any] = memory["origins"][:, index : index + 1]
        self._cell: NDArray[Any] = memory["calls"][index : index + 1]
        self._beginnings: Beginnings | None = None
        self._states: dict[int, Any] = {}  # number of an episode -> what get_state gave before it
        self._obs: Any = None  # of the latest reset
        self._calls: list[Call] = []

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
        with self._named("the trial of exact resume"):
            return try_out_watched(self.env, None if alone else self._make, seed, self._cell)

    def note_beginnings(self, kind: str) -> None:
        """As :meth:`Rebuilder.prepare`."""
        made = Beginnings(kind, self._envs, [self._make], self._memory, self._calls)
        self._beginnings = None if kind == RESTART else made

    def call_all(self, call: Call) -> Any:
        """As :meth:`Rebuilder.call`, of this environment."""
        with self._named(f"the call of {call.name!r}"):
            given = marked(self._cell, lambda: call.on(self.env))
        self._calls.append(call)
        return given

    def state_before(self, numbers: Sequence[int]) -> Any:
        """What get_state gave before an episode of this environment, by its number."""
        return self._states.get(numbers[self._index])

    def rebuild(self, episodes: Mapping[int, Episode], history: History) -> tuple[str | None, Any]:
        """As :meth:`Rebuilder.rebuild`, of this environment: why not, and the observation."""
        episode, why = episodes.get(self._index), None
        self._calls[:] = [call for _, call in history]
        if episode is not None and self._beginnings is not None:
            with self._named("playing its episode again"):
                why, self._obs = self._beginnings.rebuild(0, episode, self._cell, history)
            self._noted()
        return why, self._obs

    @contextlib.contextmanager
    def _named(self, when: str) -> Iterator[None]:
        try:
            yield
        except A2CError:
            raise
        except BaseException as error:
            if users_own(error):
                raise
            raise named_failure(error, f"environment {self._index}", when) from None

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
        memory: of :func:`shared_memory`.
    """

    def __init__(self, envs: AsyncVectorEnv[Any, Any], memory: SharedArrays) -> None:
        self.step_timeout: float | None = None
        self._envs, self._memory, self._kind = envs, memory, RESTART

    def try_out(self, seed: int, alone: bool) -> Rebuilding:
        found: Rebuilding = self._ask("try_out", seed, alone)[0]
        return found

    def prepare(self, kind: str) -> None:
        self._kind = kind
        self._ask("note_beginnings", kind)

    def origins(self, numbers: Sequence[int], between: bool) -> list[Origin | None]:
        count = self._envs.num_envs
        if self._kind == STATE and not between:
            return [None] * count  # the states are in the processes, of which one may be dead or hang
        states = self._ask("state_before", numbers) if self._kind == STATE else [None] * count
        found: list[Origin | None] = []
        for env, (number, state) in enumerate(zip(numbers, states, strict=True)):
            known, one, two, three, four, five, six = self._memory["origins"][number % KEPT, env].tolist()
            found.append(Origin((one, two, three, four, five, six), state) if known == number else None)
        return found

    def call(self, call: Call) -> list[Any]:
        return list(self._ask("call_all", call))

    def rebuild(self, episodes: Mapping[int, Episode], history: History) -> tuple[dict[int, str], Any]:
        answers = self._ask("rebuild", episodes, history)
        space, count = self._envs.single_observation_space, self._envs.num_envs
        batch = create_empty_array(space, count)
        assert batch is not None
        obs = concatenate(space, [obs for _, obs in answers], batch)
        return {env: why for env, (why, _) in enumerate(answers) if why is not None}, obs

    def failed(self) -> list[int]:
        return []  # Gymnasium's own class gives up with the first failure

    def revive(self, episodes: Mapping[int, Episode], infos: KeptInfos, history: History) -> dict[int, str]:
        raise NotImplementedError

    def _ask(self, name: str, *data: Any) -> Sequence[Any]:
        """Call a method of every :class:`Rebuildable`; raises what one raises, and for one that hangs."""
        self._envs.call_async(name, *data)
        pulse = Pulse(self._memory["calls"], self.step_timeout)
        for pipe in self._envs.parent_pipes:
            while not pipe.poll(_TICK):
                for env in pulse.late():
                    raise EnvironmentTimeoutError(f"environment {env} did not answer in {pulse.limit:g} s")
        return list(self._envs.call_wait())
