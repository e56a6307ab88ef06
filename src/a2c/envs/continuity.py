"""What lets the episodes of a lockstep go on: after a restart of an environment, and in a resumed run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from a2c.envs.backends import Backend, Stepped
from a2c.envs.episodes import EpisodeStatistics, LifeCounter
from a2c.envs.healing import Healer, Restarts
from a2c.envs.rebuilding.calls import Call, Calls, History
from a2c.envs.rebuilding.in_flight import InFlight, Rebuilder
from a2c.errors import A2CError


class Continuity:
    """Keeps nothing and heals nothing until it is asked to.

    Args:
        backend: steps the environments.
        mode: how they reset; episodes can be rebuilt where that is in the same step.
        statistics: of their episodes.
        lives: that are left in them; None: nobody counts.
        first: global index of the first environment.

    Attributes:
        rebuilder: what can rebuild episodes; None: nothing.
    """

    def __init__(
        self,
        backend: Backend,
        mode: AutoresetMode,
        statistics: EpisodeStatistics,
        lives: LifeCounter | None,
        first: int,
    ) -> None:
        self.rebuilder: Rebuilder | None = backend.rebuilder if mode is AutoresetMode.SAME_STEP else None
        self._backend, self._statistics, self._lives, self._first = backend, statistics, lives, first
        self._in_flight: InFlight | None = None
        self._healer: Healer | None = None
        self._calls = Calls()
        self._marked: int | None = None  # step of the lockstep with which the rollout under way began

    def keep(self, kind: str) -> None:
        """From the next reset on, keep what rebuilds the episodes in flight, in the way ``kind``."""
        assert self.rebuilder is not None
        self.rebuilder.prepare(kind)
        self._in_flight = InFlight(self.rebuilder, self._statistics, self._lives)

    def heal(self, restarts: Restarts) -> None:
        """From now on, make environments anew that fail in a step, as often as is allowed."""
        self._healer = Healer(restarts, self._backend, self._in_flight, self._first, self._calls_until_now)

    @property
    def keeps(self) -> bool:
        """Whether it keeps what rebuilds the episodes in flight."""
        return self._in_flight is not None

    def record(self, actions: Any) -> None:
        """The next step is taken with these ``[N, *action]``."""
        if self._in_flight is not None:
            self._in_flight.record(actions)

    def call(self, call: Call) -> list[Any]:
        """Make a call of every environment, between two rollouts; returns ``[N]``, what they gave.

        Where it fails, the state to save is that of before it.
        """
        self.mark()
        results = self._backend.call(call)
        self.settle()
        self._calls.add(self._statistics.step, call)
        return results

    def calls(self) -> History:
        """The calls of all environments, as of :meth:`state_dict`."""
        return self._calls_until_now() if self._marked is None else self._calls.until(self._marked)

    def _calls_until_now(self) -> History:
        return self._calls.until(self._statistics.step)

    def begin(self, rows: NDArray[np.bool_]) -> None:
        """Episodes begin in these environments, a mask ``[N]``, with the next step."""
        if self._in_flight is not None:
            self._in_flight.begin(rows)

    def mark(self) -> None:
        """A rollout begins: until :meth:`settle`, the state to save is that of now."""
        self._marked = self._statistics.step
        if self._in_flight is not None:
            self._in_flight.mark()

    def settle(self) -> None:
        """The rollout is there."""
        self._marked = None
        if self._in_flight is not None:
            self._in_flight.settle()

    def state_dict(self) -> dict[str, Any] | None:
        """As :meth:`InFlight.state_dict`; None where nothing is kept."""
        return None if self._in_flight is None else self._in_flight.state_dict()

    def load_calls(self, history: History) -> None:
        """All environments have had these calls."""
        self._calls.load(self._statistics.step, history)

    def load_state_dict(
        self, state: Mapping[str, Any], seeds: Sequence[int], history: History
    ) -> tuple[dict[int, str], Any]:
        """As :meth:`InFlight.load_state_dict`."""
        assert self._in_flight is not None, "nothing is kept"
        self.load_calls(history)
        return self._in_flight.load_state_dict(state, seeds, history)

    def finish(self, error: BaseException, named: Callable[[BaseException], A2CError]) -> tuple[Stepped, list[int]]:
        """As :meth:`Healer.finish`; where nothing heals, the failure is raised."""
        if self._healer is None:
            raise named(error) from error
        stepped, dropped = self._healer.finish(error, named)
        self._statistics.begin(dropped)
        return stepped, dropped
