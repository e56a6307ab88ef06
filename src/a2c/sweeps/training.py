"""One training of a trial, in a process of its own, watched while it runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from a2c.errors import RunIOError
from a2c.run.comparing.past_run import FINISHED, PastRun, read_run
from a2c.settings.overrides import quote
from a2c.settings.saved_settings import SETTINGS
from a2c.storage.folders import CHECKPOINTS
from a2c.sweeps.wandb_names import wandb_overrides

POLL = 0.3  # seconds between looks at a run


def train(folder: Path, overrides: Sequence[str], stop: Callable[[], bool]) -> int:
    """Train in a folder, or go on there; output goes to ``<folder>.log``.

    Args:
        folder: of the run; it may hold one that was stopped.
        overrides: its settings.
        stop: asked again and again while it runs; True ends the run in order, saved.

    Returns:
        The exit code.

    Raises:
        RunIOError: the log cannot be written.
    """
    place = [f"runs_dir={quote(str(folder.parent))}"]
    if any((folder / CHECKPOINTS).glob("*.pt")):
        arguments = [f"resume={quote(str(folder))}", "--trust", *place]  # the file of the sweep named its module
    else:
        arguments = [*wandb_overrides(folder), *overrides, *place, f"hydra.run.dir={quote(str(folder))}"]
    try:
        with folder.with_suffix(".log").open("ab") as log:
            # In a session of its own: Ctrl-C reaches the sweep, which ends its runs itself, each by one signal.
            process = subprocess.Popen(
                [sys.executable, "-m", "a2c", "train", *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise RunIOError(f"cannot write {error.filename or folder}: {error.strerror or error}") from error
    asked = False
    try:
        while True:
            try:
                code = process.wait(POLL)
                return code if code >= 0 else 128 - code
            except subprocess.TimeoutExpired:
                if not asked and stop():
                    asked = True
                    process.send_signal(signal.SIGTERM)
    finally:
        if process.poll() is None:  # whatever has interrupted us
            process.terminate()
            process.wait()


def finished(folder: Path) -> PastRun | None:
    """The run in a folder, if it is finished."""
    if not (folder / SETTINGS).is_file():
        return None
    run = read_run(folder)
    return run if run.state == FINISHED else None


def last_line(folder: Path) -> str:
    """What a run that failed said last."""
    lines = folder.with_suffix(".log").read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")
