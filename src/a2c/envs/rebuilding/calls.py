"""Calls of methods of all environments between two rollouts: made, kept, and made again where they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from a2c.storage.plain import plain


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a method of every environment."""

    name: str
    args: tuple[Any, ...]  # plain data
    kwargs: Mapping[str, Any]

    def on(self, env: gym.Env[Any, Any]) -> Any:
        """Make it, or read an attribute that cannot be called, as Gymnasium does.

        Returns:
            What it returned, where that is plain data, which alone can come from another process; else None.

        Raises:
            AttributeError: neither the environment nor a wrapper has it.
            Exception: what the environment raises.
        """
        attribute = env.get_wrapper_attr(self.name)
        given = attribute(*self.args, **self.kwargs) if callable(attribute) else attribute
        try:
            return plain(given)
        except TypeError:
            return None


def call_of(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
    """The call; raises :class:`TypeError` where an argument is no plain data."""
    return Call(name, plain(tuple(args)), plain(kwargs))


History = Sequence[tuple[int, Call]]  # lockstep steps that were taken since each call, in order


class Calls:
    """All calls of environments in lockstep."""

    def __init__(self) -> None:
        self._made: list[tuple[int, Call]] = []

    def add(self, step: int, call: Call) -> None:
        """A call has been made after ``step`` steps of the lockstep."""
        self._made.append((step, call))

    def until(self, step: int) -> History:
        """All, as seen from a step."""
        return [(step - made, call) for made, call in self._made]

    def load(self, step: int, history: History) -> None:
        """Go on from :meth:`until`."""
        self._made = [(step - ago, call) for ago, call in history]


class CallsAgain:
    """The calls that one environment has had, to be made again on a new one while an episode is played again.

    A call between two rollouts came before its episode began, or after some of its steps; one that came right after the
    reset that began it counts as in the episode.

    Args:
        history: as of the end of what is played again.
        steps: of the episode until then.
        make: makes a call.
    """

    def __init__(self, history: History, steps: int, make: Callable[[Call], object]) -> None:
        self._calls, self._make, self._next = [(steps - ago, call) for ago, call in history], make, 0

    def up_to(self, step: int) -> None:
        """Make those that came before action ``step`` of the episode and have not been made; -1: before its reset."""
        while self._next < len(self._calls) and self._calls[self._next][0] <= step:
            self._make(self._calls[self._next][1])
            self._next += 1


NO_CALLS = CallsAgain((), 0, lambda call: None)
