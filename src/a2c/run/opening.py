"""Open a run, and close it however it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from a2c.errors import A2CError, StoppedError
from a2c.machine.processes.foreign_code import GaveUpError
from a2c.machine.rank_group import Ranks
from a2c.network.making import OwnNetwork
from a2c.run.callback import Callback
from a2c.run.evaluators import Plays
from a2c.run.following import FollowingRun
from a2c.run.leading import LeadingRun
from a2c.run.orders import left_unsaved
from a2c.run.run import Run
from a2c.run.shared_evaluation import SharedEvaluator
from a2c.run.stopping import stop_on_signals
from a2c.settings.config import Config

ECHO = 10.0  # seconds in which a rank, or a job of submitit, may have one signal several times

AnyRun = Run | LeadingRun | FollowingRun


@contextlib.contextmanager
def open_run(
    cfg: Config,
    folder: Path,
    network: OwnNetwork | None = None,
    callback: Callback | None = None,
    echo: float = 0.0,
    evaluator: Callable[[], Plays] | None = None,
) -> Iterator[Run]:
    """Open a run; whatever happens inside, note signals, restore the terminal and close the records.

    Args:
        cfg, folder, network, callback, evaluator: as for :class:`a2c.run.run.Run`.
        echo: as for :func:`stop_on_signals`.

    Raises:
        StoppedError: it was to end before it had begun, and an environment did not answer.
    """
    again = ECHO if os.environ.get("SUBMITIT_EXECUTOR") else 0.0  # Slurm tells every process, and the job its own
    with stop_on_signals(max(echo, again)) as stop:
        try:
            with _closed(Run(cfg, folder, stop, network, callback, evaluator)) as run:
                yield run
        except GaveUpError:
            assert stop.signal is not None
            raise StoppedError(stop.signal, "an environment did not answer before the first update") from None


@contextlib.contextmanager
def open_run_of_ranks(
    cfg: Config,
    folder: Path,
    ranks: Ranks,
    network: OwnNetwork | None = None,
    callback: Callback | None = None,
    log_to: Callable[[Path], None] = lambda path: None,
) -> Iterator[LeadingRun | FollowingRun]:
    """Open a run that several ranks train; the first keeps it.

    Args:
        cfg, folder, network, callback: as for :func:`open_run`.
        ranks: all of them.
        log_to: called, on the others, with the file that their own output goes to.
    """
    evaluator = SharedEvaluator(cfg, ranks, network)
    if ranks.leads:
        with open_run(cfg, folder, network, callback, ECHO, evaluator.ready) as run:
            yield LeadingRun(run, ranks, evaluator)
    else:
        with stop_on_signals(ECHO) as stop, contextlib.closing(evaluator):
            try:
                yield FollowingRun(cfg, ranks, stop, log_to, evaluator)
            except GaveUpError:
                raise left_unsaved(stop) from None


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
