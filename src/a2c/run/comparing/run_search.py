"""Which runs a command means: folders, patterns, or folders with runs in them."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from a2c.errors import A2CError, ConfigError
from a2c.run.comparing.past_run import PastRun, read_run
from a2c.run.showing.figures import relative
from a2c.storage.folders import LATEST, is_run


def find_runs(targets: Sequence[str], runs_dir: str, tell: Callable[[str], object]) -> list[PastRun]:
    """Read the runs that ``targets`` name, each once, in this order.

    Args:
        targets: each ``latest``, a run folder, a folder with runs in it, or a pattern like ``runs/CartPole-v1/*lr*``.
        runs_dir: where ``latest`` is looked up.
        tell: called with one line about each folder that holds no run, or a damaged one.

    Raises:
        ConfigError: a target does not exist, or a pattern fits nothing.
    """
    runs: dict[Path, PastRun] = {}
    for folder in (folder for target in targets for folder in _folders(target, runs_dir)):
        place = folder.resolve()
        if place in runs:
            continue
        try:
            runs[place] = read_run(place)
        except A2CError as error:
            tell(f"left out {relative(place)}: {str(error).partition(': ')[2]}")
    return list(runs.values())


def _folders(target: str, runs_dir: str) -> Iterable[Path]:
    path = Path(runs_dir) / LATEST if target == LATEST else Path(target)
    if path.exists():
        return _runs_at(path)
    found = sorted(glob.glob(target, recursive=True))
    if not found:
        raise ConfigError(f"there is no {path}" if glob.escape(target) == target else f"nothing fits {target}")
    return [folder for each in found for folder in _runs_at(Path(each))]


def _runs_at(path: Path) -> list[Path]:
    """The run in a folder, or those in it and in its folders, in the order of their names, links left out."""
    if not path.is_dir():  # a pattern also finds pictures and logs
        return []
    if is_run(path):
        return [path]
    places = sorted([*path.glob("*/"), *path.glob("*/*/")])
    return [place for place in places if not place.is_symlink() and is_run(place)] or [path]
