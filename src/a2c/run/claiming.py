"""Before a run writes anything: the folder is its own, stays within itself, and the checkpoint to resume fits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from a2c.errors import CheckpointError, ConfigError, EnvironmentFailure, RunIOError, StoppedError
from a2c.settings.config import Config
from a2c.settings.notices import tell
from a2c.storage.folders import discard_if_empty, is_run, refuse_links_out
from a2c.storage.run_lock import locked

if TYPE_CHECKING:
    from a2c.network.making import OwnNetwork

_REFUSALS = (ConfigError, EnvironmentFailure, CheckpointError, RunIOError, StoppedError, KeyboardInterrupt)


@contextlib.contextmanager
def claimed(cfg: Config, folder: Path, network: OwnNetwork | None = None) -> Iterator[None]:
    """Hold a run folder for as long as the block lasts.

    Nothing in it has changed if this raises before the block begins. A new folder in which a refused run has left
    nothing goes away.

    Args:
        cfg: the settings; ``cfg.resume`` names a run or a checkpoint to continue.
        folder: the run folder; it exists.
        network: makes a network of the user's.

    Raises:
        RunIOError: another run holds the folder, or it cannot be written.
        CheckpointError: the checkpoint to continue is missing, damaged, or does not fit the settings.
        ConfigError: a link leads out of the folder.
    """
    refuse_links_out(folder)
    new = not is_run(folder)
    with locked(folder, tell):
        try:
            if cfg.resume:
                from a2c.run.resuming import prepare_resumed  # imports torch

                prepare_resumed(cfg, folder, network)
            yield
        except _REFUSALS:
            if new:
                discard_if_empty(folder, Path(cfg.runs_dir))
            raise
