"""Where runs live: ``runs/<env>/<time>_<name>/``."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from a2c.errors import ConfigError, RunIOError

LATEST = "latest"
AUTO = "auto"  # resume: the newest run of the same settings that is not finished
CHECKPOINTS = "checkpoints"
MARKS = (".hydra/config.yaml", "metrics.jsonl", "summary.json")  # a folder that has one of them is a run's


def env_folder(env_id: str) -> str:
    """The folder name of an environment: ``ALE/Pong-v5`` -> ``ALE-Pong-v5``; it leads nowhere else."""
    return re.sub(r"[^A-Za-z0-9._-]|^\.+|\.{2,}", "-", env_id)


def new_run(runs_dir: str | Path, env_id: str, name: str | None, algo: str, seed: int) -> str:
    """Make a new run folder, even if another run starts in the same second.

    Args:
        runs_dir: folder of all runs.
        env_id: names the folder in between.
        name: of the run; None: made from ``algo`` and ``seed``.

    Returns:
        Its path below ``runs_dir``.

    Raises:
        RunIOError: the folder cannot be made.
        ConfigError: a link leads out of ``runs_dir``.
    """
    parent = Path(runs_dir) / env_folder(env_id)
    wanted = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{name or f'{algo}-seed{seed}'}"
    attempt = 1
    while True:
        folder = parent / (wanted if attempt == 1 else f"{wanted}_{attempt}")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            _refuse_link(parent, Path(runs_dir))
            folder.mkdir()  # fails where another process was first
        except FileExistsError:
            if not parent.is_dir():
                raise RunIOError(f"cannot make the run folder {folder}: {parent} is a file") from None
            attempt += 1
        except OSError as error:
            raise RunIOError(f"cannot make the run folder {folder}: {error.strerror or error}") from error
        else:
            return str(folder.relative_to(runs_dir))


def run_of(target: str, runs_dir: str | Path) -> Path | None:
    """The run folder of ``target``, which is ``latest``, a run folder or a file in the ``checkpoints/`` of one.

    Returns:
        None if there is none; any other file belongs to no run.
    """
    path = Path(runs_dir) / LATEST if target == LATEST else Path(target)
    if path.is_file():
        path = path.resolve()
        folder = path.parent.parent
        return folder if path.parent.name == CHECKPOINTS and is_run(folder) else None
    return path.resolve() if path.is_dir() else None


def is_run(folder: Path) -> bool:
    """Whether a run has begun in ``folder``."""
    return any((folder / mark).exists() for mark in MARKS)


def refuse_links_out(folder: Path) -> None:
    """Refuse a run folder where a link leads out of it: what the run writes would end up there.

    Raises:
        ConfigError: there is such a link.
    """
    for place in (folder, folder / ".hydra", folder / CHECKPOINTS):
        for path in sorted(place.glob("*")):
            _refuse_link(path, folder)


def _refuse_link(path: Path, root: Path) -> None:
    if not path.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"{path} leads out of {root}, to {path.resolve()}; put that in the place of the link")


def point_latest_to(folder: Path, runs_dir: Path) -> None:
    """Make ``runs/latest`` a link to the newest run; does nothing where links are not possible."""
    temporary = runs_dir / f".latest.{os.getpid()}"
    with contextlib.suppress(OSError):
        temporary.symlink_to(os.path.relpath(folder, runs_dir), target_is_directory=True)
        temporary.replace(runs_dir / LATEST)


def discard_if_empty(folder: Path, runs_dir: Path) -> None:
    """Remove a run folder in which nothing but logs and settings has come about, and its parent if that is empty."""
    folder, metrics, checkpoints = folder.absolute(), folder / "metrics.jsonl", folder / CHECKPOINTS
    with contextlib.suppress(OSError):
        if any(checkpoints.glob("*")) or (metrics.exists() and metrics.stat().st_size):
            return
        ours = [folder / "metrics.jsonl", folder / ".lock", *folder.glob("*.log")]
        ours += [folder / ".hydra" / f"{name}.yaml" for name in ("config", "hydra", "overrides")]
        folders = [folder / ".hydra", folder / CHECKPOINTS]
        if {*folder.glob("*"), *(folder / ".hydra").glob("*")} - {*ours, *folders}:
            return
        for path in ours:
            path.unlink(missing_ok=True)
        for place in (*folders, folder):
            if place.exists():
                place.rmdir()
        if folder.parent.resolve().parent == runs_dir.resolve():
            folder.parent.rmdir()  # fails where it holds other runs
