"""Where runs live: ``runs/<env>/<time>_<name>/``."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

from a2c.errors import RunIOError

LATEST = "latest"


def env_folder(env_id: str) -> str:
    """The folder name of an environment: ``ALE/Pong-v5`` -> ``ALE-Pong-v5``."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", env_id)


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
    """
    parent = Path(runs_dir) / env_folder(env_id)
    wanted = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{name or f'{algo}-seed{seed}'}"
    attempt = 1
    while True:
        folder = parent / (wanted if attempt == 1 else f"{wanted}_{attempt}")
        try:
            parent.mkdir(parents=True, exist_ok=True)
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
    """The run folder of ``target``, which is ``latest``, a run folder or a checkpoint in one; None if there is none."""
    path = Path(runs_dir) / LATEST if target == LATEST else Path(target)
    folder = path.parent.parent if path.is_file() else path
    return folder.resolve() if folder.is_dir() else None


def point_latest_to(folder: Path, runs_dir: Path) -> None:
    """Make ``runs/latest`` a link to the newest run; does nothing where links are not possible."""
    temporary = runs_dir / f".latest.{os.getpid()}"
    with contextlib.suppress(OSError):
        temporary.symlink_to(os.path.relpath(folder, runs_dir), target_is_directory=True)
        temporary.replace(runs_dir / LATEST)
