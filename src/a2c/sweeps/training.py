"""One training of a trial, in a process of its own, watched while it runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from a2c.errors import RunIOError
from a2c.run.comparing.past_run import FINISHED, PastRun, read_run
from a2c.settings.overrides import quote
from a2c.settings.resumed_settings import OF_THE_SESSION
from a2c.settings.saved_settings import SETTINGS
from a2c.storage.folders import CHECKPOINTS
from a2c.storage.run_lock import hold, is_held, is_locked
from a2c.sweeps.ending import Urgency
from a2c.sweeps.wandb_names import wandb_overrides

POLL = 0.3  # seconds between looks at a run
PATIENCE = 5.0  # seconds that a run may take after it was asked to end at once
LOG = ".log"


def train(folder: Path, overrides: Sequence[str], stop: Callable[[], Urgency]) -> int:
    """Train in a folder, or go on there; output goes to ``<folder>.log``.

    Args:
        folder: of the run; it may hold one that was stopped.
        overrides: its settings.
        stop: asked again and again while it runs; 1 ends the run in order, saved, 2 at once.

    Returns:
        The exit code.

    Raises:
        RunIOError: the log cannot be written, or another training writes it.
    """
    place = [f"runs_dir={quote(str(folder.parent))}"]
    if any((folder / CHECKPOINTS).glob("*.pt")):
        again = [word for word in overrides if _is_asked_again(word.partition("=")[0])]
        arguments = [f"resume={quote(str(folder))}", "--trust", *place, *again]  # the sweep's file named its module
    else:
        arguments = [*wandb_overrides(folder), *overrides, *place, f"hydra.run.dir={quote(str(folder))}"]
    try:
        with folder.with_suffix(LOG).open("ab") as log:
            if not hold(log.fileno()):
                raise RunIOError(f"{log.name} belongs to a training that is going on; wait for it, or stop it")
            # In a session of its own: Ctrl-C reaches the sweep, which ends its runs itself, each by one signal.
            process = subprocess.Popen(
                [sys.executable, "-m", "a2c", "train", *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise RunIOError(f"cannot write {error.filename or folder}: {error.strerror or error}") from error
    try:
        code = _watched(process, stop)
    finally:
        if process.poll() is None:  # whatever has interrupted us
            process.terminate()
            process.wait()
    return code if code >= 0 else 128 - code


def _is_asked_again(key: str) -> bool:
    """Whether a resumed run does not know a setting: it is the session's, or may be a secret, which no run keeps."""
    return key in OF_THE_SESSION or key.startswith("env.kwargs")


def is_training(folder: Path) -> bool:
    """Whether a training goes on in a folder: it holds the lock of its log before that of the folder."""
    return is_locked(folder.with_suffix(LOG)) or is_held(folder)


def _watched(process: subprocess.Popen[bytes], stop: Callable[[], Urgency]) -> int:
    """Wait for a process, and end it as urgently as ``stop`` says; returns its code."""
    asked, since = 0, 0.0
    while True:
        try:
            return process.wait(POLL)
        except subprocess.TimeoutExpired:
            urgency = stop()
        if urgency > asked:
            asked, since = urgency, time.monotonic()
            process.send_signal(signal.SIGTERM)
        elif asked > 1 and time.monotonic() - since > PATIENCE:
            process.kill()


def finished(folder: Path) -> PastRun | None:
    """The run in a folder, if it is finished."""
    if not (folder / SETTINGS).is_file():
        return None
    run = read_run(folder)
    return run if run.state == FINISHED else None


def last_line(folder: Path) -> str:
    """What a run that failed said last."""
    lines = folder.with_suffix(LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")
