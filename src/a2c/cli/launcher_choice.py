"""Which launcher starts the jobs of a multirun, what it means for them, and what does not go with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from a2c.cli.job_nodes import ranks_each
from a2c.errors import ConfigError
from a2c.machine.cores import usable_cores
from a2c.settings.config import Config
from a2c.settings.overrides import parse

KEY = "hydra/launcher"
_BASIC = "BasicLauncher"
_LOCAL = ("JoblibLauncher", "LocalLauncher")
# Where runs go, by keys that only jobs in this process know.
_PLACES = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")


@dataclass(frozen=True, slots=True)
class Launcher:
    """What starts the jobs of a multirun in processes of their own.

    Attributes:
        name: as it was typed.
        local: its jobs run on this machine, and end with the command.
        at_once: how many jobs share this machine; None: it does not say.
        overrides: that Hydra is told besides.
    """

    name: str
    local: bool
    at_once: int | None
    overrides: tuple[str, ...] = ()

    def cores(self, jobs: int | None) -> int | None:
        """How many cores each of some jobs may keep busy; None: all that it finds."""
        at_once = [count for count in (self.at_once, jobs) if count is not None]
        return max(1, usable_cores() // min(at_once)) if self.local and at_once else None


def launcher_of(settings: Mapping[str, Any], overrides: Sequence[str], configs: Sequence[Config]) -> Launcher | None:
    """The launcher of a multirun; None: its jobs train in this process, one after the other.

    Args:
        settings: ``hydra.launcher`` as Hydra composed it.
        overrides: from :func:`a2c.settings.overrides.prepare`.
        configs: of the jobs.

    Raises:
        ConfigError: something else was set that does not go with it.
    """
    kind = str(settings["_target_"]).rpartition(".")[2]
    if kind == _BASIC:
        return None
    name = typed_launcher(overrides) or kind
    for text in overrides:
        if (key := parse(text)[1].key_or_group) in _PLACES:
            raise ConfigError(f"{key} does not go with {KEY}={name}, whose runs lie in runs_dir; leave it out")
    tasks = int(settings.get("nodes") or 1) * int(settings.get("tasks_per_node") or 1)
    if tasks > 1:
        for cfg in configs:
            ranks_each(cfg.ranks, tasks, None)
    if kind != "JoblibLauncher":
        return Launcher(name, kind in _LOCAL, None)
    jobs = int(settings.get("n_jobs") or -1)
    if jobs < 0:
        jobs = max(1, usable_cores() + 1 + jobs)
    return Launcher(name, True, jobs, (f"hydra.launcher.n_jobs={jobs}",))


def typed_launcher(overrides: Sequence[str]) -> str | None:
    """The launcher that a command line names."""
    items = [parse(text)[1] for text in overrides]
    return next((str(item.value()) for item in items if item.key_or_group == KEY), None)


def refuse_without_multirun(overrides: Sequence[str]) -> None:
    """Raise :class:`ConfigError` if a command that trains once names a launcher."""
    name = typed_launcher(overrides)
    if name not in (None, "basic"):
        raise ConfigError(f"{KEY}={name} starts the jobs of a multirun; add -m, as in -m seed=1,2,3, or leave it out")


def number_of_jobs(overrides: Sequence[str]) -> int | None:
    """How many jobs a multirun has; None: another sweeper decides it, or its options do."""
    items = [parse(text)[1] for text in overrides]
    if any(item.key_or_group.startswith("hydra") and "sweeper" in item.key_or_group for item in items):
        return None
    return math.prod(len(list(item.sweep_string_iterator())) for item in items if item.is_sweep_override())
