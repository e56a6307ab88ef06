"""The errors that end a run, each with the exit code that a script can rely on.

Every message is one line: what, where (environment index, pid, file, key), and what to do.
"""

from __future__ import annotations

from typing import Any

# By the signal that ended a run: 128 + its number; Slurm's USR1 is a TERM.
STOPPED = {"SIGHUP": 129, "SIGINT": 130, "SIGTERM": 143, "SIGUSR1": 143}


class A2CError(Exception):
    """An error with a plain explanation; the command line prints it without a traceback."""

    exit_code = 1
    label = "error"

    def __str__(self) -> str:
        return f"{self.label}: {super().__str__()}"


class ConfigError(A2CError):
    """A setting is unknown, of the wrong type or out of range."""

    exit_code = 2
    label = "config error"


class EnvironmentFailure(A2CError):
    """An environment raised, died, hung or broke its contract."""

    exit_code = 3
    label = "environment error"


class CallbackFailure(A2CError):
    """A function of the user's that a run calls raised, or gave what it may not."""

    exit_code = 3
    label = "callback error"


class NumericError(A2CError):
    """A reward, observation, loss or gradient is not finite.

    Attributes:
        evidence: plain data about what went wrong in training, for a dump; None: nothing of training did.
    """

    exit_code = 4
    label = "numeric error"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.evidence: dict[str, Any] | None = None


class CheckpointError(A2CError):
    """A checkpoint is missing, damaged or belongs to another setup."""

    exit_code = 5
    label = "checkpoint error"


class StoppedError(A2CError):
    """A signal ended the run before there was anything to save.

    Args:
        signal: its name.
        text: what it was at.
    """

    label = "stopped"

    def __init__(self, signal: str, text: str) -> None:
        super().__init__(f"{text} ({signal}); nothing was changed")
        self.exit_code = STOPPED[signal]
        self._given = signal, text

    def __reduce__(self) -> tuple[type[StoppedError], tuple[str, str]]:
        return StoppedError, self._given


class RunIOError(A2CError):
    """The run folder cannot be written."""

    exit_code = 6
    label = "i/o error"


class RankFailure(A2CError):
    """One of the processes that train together died, hung or went its own way.

    Attributes:
        ended: it ended by itself, and said why.
    """

    exit_code = 7
    label = "rank error"
    ended = False


# What ends a training whose weights are as the last whole update left them; a network of the user's raises the last.
WEIGHTS_ARE_SOUND = (EnvironmentFailure, NumericError, CallbackFailure, ConfigError)
