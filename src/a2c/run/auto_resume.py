"""``resume=auto``: the same command again and again trains one run to its end, whatever stops it in between.

It goes on with the newest run of the same settings that is neither finished nor going on elsewhere. Whoever holds the
lock of a run folder has that run, so that of two at once the second takes another one or begins one. A run that died
before its first checkpoint begins again in its folder: its rows come again, and no second run stands for it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from a2c.errors import A2CError
from a2c.run.summary import Summary
from a2c.settings.config import Config
from a2c.settings.notices import tell, tell_once
from a2c.settings.old_values import translated
from a2c.settings.redaction import redact
from a2c.settings.resumed_settings import OF_THE_SESSION, flatten
from a2c.settings.saved_settings import read_settings
from a2c.storage.folders import CHECKPOINTS, env_folder, is_run
from a2c.storage.kept_checkpoints import NAMES, kept, load_newest
from a2c.storage.run_lock import FolderTakenError, reserved

_MAY_DIFFER = OF_THE_SESSION | {"wandb.mode", "gif", "profile"}  # between the sessions of one run
_STAMP = len("2026-01-01_12-00-00")


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do: go on in a folder, begin a new run, or nothing.

    Attributes:
        folder: of the run; None: a new one.
        resume: for ``cfg.resume``; None: it begins.
        finished: the results of the run, if it is finished.
    """

    folder: Path | None = None
    resume: str | None = None
    finished: Summary | None = None


@contextlib.contextmanager
def chosen(cfg: Config) -> Iterator[Choice]:
    """Choose the run that ``resume=auto`` means, and keep others out of its folder for as long as the block lasts.

    One line says which folders it passes over because they are damaged.

    Args:
        cfg: the settings of the run.
    """
    with contextlib.ExitStack() as held:
        yield _choose(cfg, held)


def _choose(cfg: Config, held: contextlib.ExitStack) -> Choice:
    elsewhere = False  # a newer run of these settings is going on
    for folder in _newest_first(Path(cfg.runs_dir) / env_folder(cfg.env.id)):
        try:
            if not _same_settings(read_settings(folder, str(folder), cfg.runs_dir)[1], cfg):
                continue
            finished = _finished(folder, cfg)
            if finished is not None and not elsewhere:
                return Choice(folder, finished=finished)
            if finished is not None:
                continue
            with contextlib.ExitStack() as ours:
                ours.enter_context(reserved(folder, tell_once))
                begun = any(kept(folder / CHECKPOINTS, name) for name in NAMES)
                if begun:
                    load_newest(folder / CHECKPOINTS, NAMES, tell_once)
                held.push(ours.pop_all())
            return Choice(folder, resume=str(folder) if begun else None)
        except FolderTakenError:
            elsewhere = True
        except A2CError as error:
            tell(f"resume=auto passes over {folder}: {str(error).partition(': ')[2]}")
    return Choice()


def said_of(folder: Path, summary: Summary) -> str:
    """One line about a run that is finished."""
    score = "no score" if summary.eval_mean is None else f"score {summary.eval_mean:.2f} +- {summary.eval_std:.2f}"
    where, steps = os.path.relpath(folder), f"{summary.env_steps:,} steps"
    return f"{where} is finished: {score} after {steps}; nothing is left to do"


def _newest_first(parent: Path) -> list[Path]:
    """The run folders below, by the time in their names; of one second, those that came later bear a higher number."""

    def age(folder: Path) -> tuple[str, int]:
        number = re.search(r"_(\d+)$", folder.name[_STAMP:])
        return folder.name[:_STAMP], int(number[1]) if number else 1

    folders = (path for path in parent.resolve().glob("*") if path.is_dir() and not path.is_symlink() and is_run(path))
    return sorted(folders, key=age, reverse=True)


def _same_settings(saved: Mapping[str, Any], cfg: Config) -> bool:
    may_differ = _MAY_DIFFER - {"num_workers"} if cfg.algo == "a3c" else _MAY_DIFFER
    ours, theirs = (
        {key: redact(value, key) for key, value in flatten(tree) if key not in may_differ}
        for tree in (asdict(cfg), translated(saved))
    )
    return ours == theirs


def _finished(folder: Path, cfg: Config) -> Summary | None:
    summary = Summary.read(folder)
    if summary is None or summary.stopped is not None:
        return None
    return summary if summary.env_steps >= cfg.total_steps or summary.ended is not None else None
