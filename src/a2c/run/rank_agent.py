"""``python -m a2c.run.rank_agent FOLDER K``: torch's elastic agent, which starts K ranks and starts them again."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from a2c.machine.processes.parent_watch import stop_without_parent

RESTARTS = 3  # of all ranks, after one has died or hung
LOOPBACK = "127.0.0.1"


def main(place: Path, ranks: int) -> int:
    """Start the ranks of a job and wait for them; returns an exit code that is not 0 if one failed too often."""
    stop_without_parent()
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # we say in a line of our own what failed
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        run_id=place.name,
        rdzv_backend="c10d",
        rdzv_endpoint=f"{LOOPBACK}:0",
        local_addr=LOOPBACK,
        max_restarts=RESTARTS,
        signals_to_handle="SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1",
        logs_specs=DefaultLogsSpecs(log_dir=str(place / "logs")),
    )
    try:
        elastic_launch(config, sys.executable)("-m", "a2c.cli.rank_process", str(place))
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
