"""Tell a long replay from an environment that hangs, from another process."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

import gymnasium as gym
from numpy.typing import NDArray


class Pulsing(gym.Wrapper[Any, Any, Any, Any]):
    """Writes down that a reset or a step is under way.

    Args:
        env: the environment.
        cell: ``[1]`` int64 in shared memory: the number of the call that is under way; 0: none is.
    """

    def __init__(self, env: gym.Env[Any, Any], cell: NDArray[Any]) -> None:
        super().__init__(env)
        self._cell, self._calls = cell, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As in Gymnasium."""
        how = {} if seed is None and options is None else {"seed": seed, "options": options}
        obs, info = self._under_way(self.env.reset, **how)
        return obs, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """As in Gymnasium."""
        obs, reward, terminated, truncated, info = self._under_way(self.env.step, action)
        return obs, reward, terminated, truncated, info

    def _under_way(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self._calls += 1
        self._cell[0] = self._calls
        try:
            return call(*arguments, **named)
        finally:
            self._cell[0] = 0


_numbers = itertools.count(1 << 32)  # beyond those of any Pulsing


def marked(cell: NDArray[Any], call: Callable[[], Any]) -> Any:
    """Write down, as :class:`Pulsing` does, that some other call of an environment is under way."""
    cell[0] = next(_numbers)
    try:
        return call()
    finally:
        cell[0] = 0


class Pulse:
    """Finds who has been in one and the same call for too long.

    Args:
        cells: ``[K]`` int64, of :class:`Pulsing`.
        limit: seconds; None: nobody is ever late.
    """

    def __init__(self, cells: NDArray[Any], limit: float | None) -> None:
        self._cells, self.limit = cells, limit
        self._seen = [(0, time.monotonic())] * len(cells)  # a call, and when it was new

    def late(self) -> Iterable[int]:
        """Who is late now; ask every now and then."""
        now = time.monotonic()
        for k, call in enumerate(self._cells.tolist()):
            if call == 0 or call != self._seen[k][0]:
                self._seen[k] = (call, now)
            elif self.limit is not None and now - self._seen[k][1] > self.limit:
                yield k
