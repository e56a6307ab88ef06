"""The checkpoints that a run keeps: their names, their order, and which one a user means.

    last.pt             the newest
    last-000050000.pt   the one before, by its env steps
    last-000040000.pt   the one before that

and ``best`` likewise. An older one gets its name as a second link before the new one takes the place of ``last.pt``, so
that there is a ``last.pt`` at every moment. It is always read first. The others follow by their env steps, which a file
that is in place never has fewer of: who goes back to an older state drops, with the first save, those from later on.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from a2c.errors import CheckpointError, RunIOError
from a2c.storage.atomic import replacing
from a2c.storage.checkpoint import DamagedCheckpointError, load_checkpoint, save_checkpoint
from a2c.storage.folders import CHECKPOINTS, LATEST

NAMES = ("last", "best")


class KeptCheckpoints:
    """Writes the checkpoints of one run; its process holds the lock of the run folder.

    Args:
        folder: ``checkpoints`` of the run folder; made by the first save.
        keep: how many of each name stay.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self._keep = folder, keep
        self._steps: dict[str, int] = {}  # env steps in NAME.pt, as far as we know
        with contextlib.suppress(OSError):
            for left in folder.glob(".*.tmp"):  # by a process that was killed while it wrote
                left.unlink()

    def save(self, name: str, payload: dict[str, Any]) -> None:
        """Write ``NAME.pt``, and keep the one that it replaces, unless that is damaged or not older.

        Args:
            name: ``last`` or ``best``.
            payload: as :func:`save_checkpoint` takes it; ``payload["state"]["env_steps"]`` orders them.

        Raises:
            RunIOError: it cannot be written; what was there stays.
        """
        newest, steps = self.folder / f"{name}.pt", int(payload["state"]["env_steps"])
        before = self._steps.pop(name, None)  # an interrupt leaves it open which file is in place
        if before is None:
            before = _env_steps(newest)
        second = self.folder / f"{name}-{before or 0:09d}.pt"
        if self._keep > 1 and before is not None and before < steps:
            _second_name(newest, second)
        try:
            save_checkpoint(newest, payload)
        except RunIOError:
            with contextlib.suppress(OSError):
                if second.samefile(newest):
                    second.unlink()
            raise
        self._steps[name] = steps
        earlier = [path for step, path in older(self.folder, name) if step < steps][: self._keep - 1]
        for _, path in older(self.folder, name):
            if path not in earlier:
                with contextlib.suppress(OSError):
                    path.unlink()


def older(folder: Path, name: str) -> list[tuple[int, Path]]:
    """The env steps and paths of those that ``NAME.pt`` has replaced, newest first."""
    found = ((re.fullmatch(rf"{name}-(\d+)\.pt", path.name), path) for path in folder.glob(f"{name}-*.pt"))
    return sorted(((int(steps[1]), path) for steps, path in found if steps), reverse=True)


def kept(folder: Path, name: str) -> list[Path]:
    """All of one name, newest first."""
    newest = folder / f"{name}.pt"
    return [*([newest] if newest.exists() else []), *(path for _, path in older(folder, name))]


def load_newest(folder: Path, names: Iterable[str], tell: Callable[[str], object]) -> tuple[Path, dict[str, Any]]:
    """The newest checkpoint that is whole, and its path.

    Args:
        folder: ``checkpoints`` of a run folder.
        names: ``last``, ``best`` or both; those of the second count where none of the first is whole.
        tell: called with one line if others had to be passed over.

    Raises:
        DamagedCheckpointError: there are some, but none is whole.
        CheckpointError: there is none, or it cannot be loaded for another reason.
    """
    damaged: list[DamagedCheckpointError] = []
    for path in (path for name in names for path in kept(folder, name)):
        try:
            payload = load_checkpoint(path)
        except DamagedCheckpointError as error:
            damaged.append(error)
            continue
        if damaged:
            tell(f"{'; '.join(f'{error.path} {error.reason}' for error in damaged)}; using {path}")
        return path, payload
    if not damaged:
        raise CheckpointError(f"there is no checkpoint in {folder}")
    first, *others = damaged
    more = f"; nor is any of {', '.join(error.path.name for error in others)} whole" if others else ""
    raise DamagedCheckpointError(first.path, f"{first.reason}{more}")


def open_checkpoint(
    target: str | Path, runs_dir: str | Path, which: str, tell: Callable[[str], object]
) -> tuple[Path, dict[str, Any]]:
    """Load the checkpoint that a user means.

    Args:
        target: ``latest``, a run folder, or a checkpoint file, which is taken literally.
        runs_dir: where ``latest`` is looked up.
        which: ``best`` or ``last``, of a run folder; the other one counts if none of this name is whole.
        tell: called with one line if a damaged file was passed over.

    Returns:
        Its path and what it holds.

    Raises:
        CheckpointError: there is none, or none can be loaded.
    """
    path = Path(runs_dir) / LATEST if str(target) == LATEST else Path(target)
    if path.is_file():
        try:
            return path, load_checkpoint(path)
        except DamagedCheckpointError as error:
            raise DamagedCheckpointError(path, f"{error.reason}{_whole_beside(path)}") from error
    folder = path.resolve() / CHECKPOINTS
    if any(kept(folder, name) for name in NAMES):
        return load_newest(folder, (which, *(name for name in NAMES if name != which)), tell)
    if str(target) == LATEST and not path.exists():
        raise CheckpointError(f"there is no latest run under {runs_dir}; train one first with: a2c train")
    raise CheckpointError(f"{target} is neither a checkpoint nor a run folder with checkpoints")


def _whole_beside(path: Path) -> str:
    with contextlib.suppress(CheckpointError):
        return f"; {load_newest(path.parent, NAMES, lambda line: None)[0]} is whole"
    return ""


def _env_steps(path: Path) -> int | None:
    """Of a checkpoint in place; None where there is none that is worth keeping."""
    try:
        return int(load_checkpoint(path)["state"]["env_steps"])
    except (CheckpointError, KeyError, TypeError, ValueError):
        return None


def _second_name(path: Path, name: Path) -> None:
    """Give a file another name, whatever had it before.

    Raises:
        RunIOError: it cannot be had.
    """
    try:
        temporary = name.with_name(f".{name.name}.{os.getpid()}.tmp")
        try:
            os.link(path, temporary)
            os.replace(temporary, name)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()  # it stays if both were names of the same file already
    except OSError:  # a file system without links
        try:
            with replacing(name) as copy:
                shutil.copyfile(path, copy)
        except OSError as error:
            raise RunIOError(f"cannot write {name}: {error.strerror or error}") from error
