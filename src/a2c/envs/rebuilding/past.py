"""The actions of every environment since its episode began."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIMIT = 256 << 20  # bytes of actions
START = 1024  # steps to have room for at first


@dataclass(slots=True)
class Mark:
    """Where all environments were at one time."""

    step: int  # steps taken by then
    began: NDArray[np.int64]  # [N]  of those, before the episode under way began
    numbers: NDArray[np.int64]  # [N]  how many episodes had begun


class Past:
    """Keeps the actions of N environments in lockstep for as long as an episode needs them.

    Args:
        num_envs: N.
        limit: bytes to keep at most; of an episode that needs more, the actions are lost.
    """

    def __init__(self, num_envs: int, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: Any = None  # [steps, N, *action], made for the first actions
        self._first = 0  # step of the first row
        self._now = Mark(0, np.zeros(num_envs, np.int64), np.zeros(num_envs, np.int64))
        self._held: Mark | None = None

    def record(self, actions: NDArray[Any]) -> None:
        """Keep the ``[N, *action]`` actions of the next step."""
        now = self._now
        row = now.step - self._first
        if self._kept is None or row == len(self._kept):
            row = self._make_room(actions)
        self._kept[row] = actions
        now.step += 1

    def before_last(self) -> Mark:
        """Where all environments were before the step whose actions were recorded last."""
        mark = self.mark()
        mark.step -= 1
        return mark

    def restart(self, rows: Any) -> None:
        """Other episodes, under the same numbers, began in these environments with the latest step."""
        self._now.began[rows] = self._now.step - 1

    def begin_at(self, row: int, number: int) -> None:
        """Episode ``number`` of an environment begins with the next step."""
        self._now.began[row], self._now.numbers[row] = self._now.step, number

    def begin(self, rows: NDArray[np.bool_]) -> None:
        """An episode begins in these environments, a mask ``[N]``, with the next step."""
        now = self._now
        np.copyto(now.began, now.step, where=rows)
        np.add(now.numbers, rows, out=now.numbers)

    def mark(self) -> Mark:
        """Where all environments are now."""
        now = self._now
        return Mark(now.step, now.began.copy(), now.numbers.copy())

    def hold(self, mark: Mark | None) -> None:
        """Keep what :meth:`since` needs for a mark of now, whatever ends meanwhile; None: no longer."""
        self._held = mark

    def since(self, mark: Mark, row: int) -> NDArray[Any] | None:
        """The actions of an environment's episode up to a mark, ``[steps, *action]``, a copy; None: they are lost."""
        begin, end = int(mark.began[row]) - self._first, mark.step - self._first
        if end == begin:  # of no steps yet
            return np.empty(0) if self._kept is None else self._kept[:0, row].copy()
        return None if begin < 0 else self._kept[begin:end, row].copy()

    def load(self, episodes: Mapping[int, tuple[int, NDArray[Any]]]) -> None:
        """Take over episodes that were under way; all others begin with the next step.

        Args:
            episodes: environment -> number of its episode and actions ``[steps, *action]`` so far.
        """
        now = self._now
        now.step, self._first, self._kept = max((len(taken) for _, taken in episodes.values()), default=0), 0, None
        now.began[:] = now.step
        for row, (number, actions) in episodes.items():
            now.began[row], now.numbers[row] = now.step - len(actions), number
            if len(actions) and self._kept is None:
                rows = max(START, 2 * now.step)
                self._kept = np.empty((rows, len(now.began), *actions.shape[1:]), actions.dtype)
            if len(actions):
                self._kept[now.began[row] : now.step, row] = actions

    def _make_room(self, actions: NDArray[Any]) -> int:
        """Room for another row; returns its place."""
        now = self._now
        if self._kept is None:
            self._kept, self._first = np.empty((START, *actions.shape), actions.dtype), now.step
            return 0
        most = max(START, self._limit // max(actions.nbytes, 1))
        used = now.step - self._first
        oldest = min(int(mark.began.min()) for mark in (now, self._held) if mark is not None)
        needed = now.step - oldest  # of the longest episode
        keep = min(needed, most // 2)
        kept = self._kept[used - keep : used]
        size = min(most, max(len(self._kept), 2 * keep, START))
        grown = np.empty((size, *actions.shape), self._kept.dtype)
        grown[:keep] = kept
        self._kept, self._first = grown, now.step - keep
        return keep


def longest(action_bytes: int, num_envs: int, limit: int = LIMIT) -> int:
    """Steps that an episode may have so that none of its actions is lost.

    Args:
        action_bytes: of one action of one environment.
        num_envs: N.
        limit: bytes to keep at most.
    """
    return max(START, limit // max(action_bytes * num_envs, 1)) // 2
