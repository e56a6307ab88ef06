"""A user's function that sees every report of a run: the door to it, behind which nothing else of the run may fail."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any

from a2c.envs.foreign import users_own
from a2c.errors import CallbackFailure, ConfigError, EnvironmentFailure
from a2c.machine.processes.failure_report import FOLLOWS, text_of
from a2c.machine.processes.foreign_code import of_others
from a2c.run.progress import Progress
from a2c.storage.plain_data import packed, unpacked

OnReport = Callable[[Progress], Mapping[str, Any] | None]
OWN = "callback/"  # before the names of its metrics, so that none can be one of ours


class Callback:
    """The function with its name, its metrics and its state.

    Args:
        function: called with a :class:`Progress`; gives a mapping of numbers to log, or None. If it has ``state_dict``
            and ``load_state_dict``, a checkpoint holds what the first gave after the last report.

    Attributes:
        name: of the function, for messages.
        state: what ``state_dict`` gave, as a checkpoint can hold it; None: it has none, or has not been called yet.

    Raises:
        ConfigError: it is no function, or has only one of the two methods.
    """

    def __init__(self, function: OnReport) -> None:
        self._function = function
        self.name = f"on_report ({getattr(function, '__qualname__', type(function).__qualname__)})"
        if not callable(function):
            raise ConfigError(f"on_report={function!r} must be a function of one argument")
        has = [callable(getattr(function, name, None)) for name in ("state_dict", "load_state_dict")]
        if any(has) and not all(has):
            raise ConfigError(f"{self.name} needs both state_dict and load_state_dict, or neither")
        self.keeps = all(has)
        self.state: Any = None

    def __call__(self, progress: Progress) -> dict[str, Any]:
        """What it gives for the row of a report, under names of its own.

        Raises:
            CallbackFailure: it raised, or returned something else.
            EnvironmentFailure: an environment failed that it called.
        """
        try:
            found = _named(self._guarded("a report", self._function, progress))
        except TypeError as error:
            raise CallbackFailure(f"{self.name} returned {error}; it must be a mapping of numbers, or None") from None
        if self.keeps:
            self.keep()
        return found

    def keep(self) -> None:
        """Take its state for the checkpoints to come; raises :class:`CallbackFailure`."""
        given = self._guarded("state_dict", self._function.state_dict)  # type: ignore[attr-defined]
        try:
            self.state = packed(given)
        except TypeError as error:
            raise CallbackFailure(f"{self.name}: state_dict must give plain data: {error}") from None

    def load(self, state: Any) -> None:
        """Give it the state of a checkpoint; raises :class:`CallbackFailure`."""
        self._guarded("load_state_dict", self._function.load_state_dict, unpacked(state))  # type: ignore[attr-defined]
        self.state = state

    def _guarded(self, when: str, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return of_others(call, *arguments)
        except (EnvironmentFailure, CallbackFailure):
            raise
        except BaseException as error:
            if users_own(error):
                raise
            text = next(iter(text_of(error).strip().splitlines()), "") or "no message"
            failure = CallbackFailure(f"{self.name} raised {type(error).__name__} in {when}: {text}{FOLLOWS}")
            failure.add_note(_own_traceback(error))
            raise failure from None


def _own_traceback(error: BaseException) -> str:
    """Its traceback from where our code ends."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("a2c."):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))


def _named(given: Any) -> dict[str, Any]:
    """The numbers under names of their own; raises :class:`TypeError` for what is no mapping of numbers."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"a {type(given).__name__}")
    return {f"{OWN}{_text(name)}": _number(name, value) for name, value in given.items()}


def _text(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise TypeError(f"the name {name!r}")
    return name


def _number(name: str, value: Any) -> float:
    number = value.item() if getattr(value, "shape", None) == () else value  # of NumPy or torch
    if not isinstance(number, int | float):
        raise TypeError(f"a {type(value).__name__} for {name!r}")
    return number
