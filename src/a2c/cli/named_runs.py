"""The runs that a command line names, by folder or pattern, without Hydra's grammar: folders hold any letter."""

from __future__ import annotations

from collections.abc import Sequence

from a2c.errors import ConfigError
from a2c.run.comparing.past_run import PastRun
from a2c.run.comparing.run_search import find_runs
from a2c.settings.notices import tell


def explains(arguments: Sequence[str], usage: str, command: str) -> bool:
    """Print the usage of a command that has no options, if it is asked for; returns whether it was.

    Raises:
        ConfigError: there is an option.
    """
    if {"-h", "--help"} & set(arguments):
        print(usage)
        return True
    for word in arguments:
        if word.startswith("-"):
            raise ConfigError(f"unknown option '{word}'; a2c {command} --help")
    return False


def named_runs(words: Sequence[str], *, otherwise: str | None = None) -> list[PastRun]:
    """Find and read the runs; one line to stderr about each folder that is left out.

    Args:
        words: each a run folder, ``latest``, a folder of runs or a pattern, perhaps after ``run=``;
            ``runs_dir=DIR`` says where ``latest`` is looked up.
        otherwise: ``DIR`` counts as named where nothing else is; by default this.

    Raises:
        ConfigError: none is named, or there is none.
    """
    places = [word.removeprefix("runs_dir=") for word in words if word.startswith("runs_dir=")]
    runs_dir = places[-1] if places else "runs"
    targets = [word.removeprefix("run=") for word in words if not word.startswith("runs_dir=")]
    if not targets and otherwise is not None:
        targets = [runs_dir if places else otherwise]
    if not targets:
        raise ConfigError("name a run: latest, a folder, or a pattern like 'runs/CartPole-v1/*'")
    runs = find_runs(targets, runs_dir, tell)
    if not runs:
        raise ConfigError(f"there is no run in {', '.join(targets)}")
    return runs
