"""Open a run, and close it however it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from a2c.errors import A2CError, StoppedError
from a2c.machine.processes.foreign_code import GaveUpError
from a2c.network.making import OwnNetwork
from a2c.run.callback import Callback
from a2c.run.run import Run
from a2c.run.stopping import stop_on_signals
from a2c.settings.config import Config


@contextlib.contextmanager
def open_run(
    cfg: Config, folder: Path, network: OwnNetwork | None = None, callback: Callback | None = None
) -> Iterator[Run]:
    """Open a run; whatever happens inside, note signals, restore the terminal and close the records.

    Args: as for :class:`a2c.run.run.Run`.

    Raises:
        StoppedError: it was to end before it had begun, and an environment did not answer.
    """
    with stop_on_signals() as stop:
        try:
            with _closed(Run(cfg, folder, stop, network, callback)) as run:
                yield run
        except GaveUpError:
            assert stop.signal is not None
            raise StoppedError(stop.signal, "an environment did not answer before the first update") from None


@contextlib.contextmanager
def _closed(run: Run) -> Iterator[Run]:
    exit_code = 1
    try:
        yield run
        exit_code = 0
    except A2CError:
        run.settle()
        raise
    finally:
        run.close(exit_code)
