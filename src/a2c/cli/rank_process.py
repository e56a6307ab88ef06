"""``python -m a2c.cli.rank_process FOLDER``: one rank of a job on this machine, started by torch's elastic agent."""

from __future__ import annotations

import sys
import traceback
from dataclasses import replace
from pathlib import Path

from a2c import trainer
from a2c.errors import A2CError, RankFailure
from a2c.machine.processes.parent_watch import stop_without_parent
from a2c.machine.rank_group import Ranks
from a2c.machine.rank_meeting import log_to, met
from a2c.machine.rank_place import Place, place_here
from a2c.run.callback import Callback
from a2c.run.rank_job import Job, Outcome, read_job, write_outcome
from a2c.run.summary import Summary
from a2c.storage.folders import CHECKPOINTS
from a2c.storage.kept_checkpoints import NAMES, kept


def main(place: Path) -> int:
    """Do this rank's part of the job in a folder; returns the exit code.

    An error of its own ends the job: it would come again. Where another rank died, or hangs, this one fails, so that
    the agent starts all of them again.
    """
    here = place_here()
    assert here is not None, "the agent says which rank this is"
    stop_without_parent()
    try:
        job = read_job(place)
        sys.path[:] = job.paths
        job.registered.register()
        with met(here, job.cfg.rank_timeout, place) as ranks:
            outcome = Outcome(_trained(job, here, ranks))
    except RankFailure as error:
        if not error.ended:
            print(error, file=sys.stderr)
            return error.exit_code
        outcome = Outcome(error=error, first=False)
    except BaseException as error:
        if not isinstance(error, A2CError):
            error.add_note(traceback.format_exc())  # which does not travel by itself
        outcome = Outcome(error=error)
    write_outcome(place, here.rank, outcome)
    return 0


def _trained(job: Job, here: Place, ranks: Ranks) -> Summary:
    cfg, folder = job.cfg, job.folder
    if here.restarts and any(kept(folder / CHECKPOINTS, name) for name in NAMES):
        cfg = replace(cfg, resume=str(folder))
    on_report = job.on_report.open() if ranks.leads else None
    callback = None if on_report is None else Callback(on_report)
    return trainer.train_rank(
        cfg, folder, ranks, network=job.network.open(), callback=callback, log_to=log_to, restarts=here.restarts
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
