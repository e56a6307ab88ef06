"""Which of several processes this one is, as torchrun tells each in environment variables."""

from __future__ import annotations

import os
from dataclasses import dataclass

from a2c.errors import ConfigError

_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True)
class Place:
    """One of ``size`` processes.

    Attributes:
        rank: its number, from 0.
        size: of all, on all machines.
        local: its number on its machine.
        restarts: how often all of them have been started again.
    """

    rank: int
    size: int
    local: int = 0
    restarts: int = 0


def ranks_on_machine() -> int:
    """How many ranks torchrun has started on this machine, this one included; 1 where it has not started this one."""
    said = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(said)) if said.isdecimal() else 1


def place_here() -> Place | None:
    """The place of this process; None: nobody has given it one.

    Raises:
        ConfigError: the variables are no numbers.
    """
    if not all(os.environ.get(name) for name in _NEEDED):
        return None
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RESTART_COUNT")
    try:
        return Place(*(int(os.environ.get(name, "0")) for name in names))
    except ValueError:
        said = " ".join(f"{name}={os.environ.get(name, '')}" for name in names)
        raise ConfigError(f"{said} must be numbers: torchrun sets them") from None
