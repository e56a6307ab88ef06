"""One job on several nodes: a task on each of them runs ``python -m a2c.cli.job_nodes``, torchrun with our signals."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from a2c.cli.job_signals import hear_signals
from a2c.errors import ConfigError

RESTARTS = 3  # of all ranks, after one has died or hung
PORTS = range(20_000, 30_000)  # where jobs meet: each at a port of its own, below those that systems give out
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a job that submitit has started.

    Attributes:
        number: of the task, from 0.
        count: of the tasks of its job.
        job: its number with the scheduler.
        first: the node of the first one.
        local: all tasks are on this machine.
    """

    number: int
    count: int
    job: str
    first: str
    local: bool


def task_here() -> Task:
    """The task that this process is, which submitit has started."""
    from submitit import JobEnvironment

    here = JobEnvironment()
    local = os.environ["SUBMITIT_EXECUTOR"] == "local"
    first = LOOPBACK if local else here.hostnames[0]
    return Task(here.global_rank, here.num_tasks, here.job_id, first, local)


def ranks_each(ranks: int, tasks: int, gpus: int | None) -> int:
    """How many ranks each task starts: its part of ``ranks``; where that is 1, one for each GPU of its node.

    Raises:
        ConfigError: the tasks cannot share the ranks out.
    """
    if ranks % tasks and ranks > 1:
        raise ConfigError(f"ranks={ranks} must be a multiple of the {tasks} tasks of a job; leave ranks out")
    return ranks // tasks if ranks > 1 else gpus or 1


def torchrun(task: Task, ranks: int) -> list[str]:
    """The arguments by which each task of a job starts its ranks and finds the others.

    Args:
        task: which of them.
        ranks: that each one starts.
    """
    number = int("".join(filter(str.isdecimal, task.job)) or 0)
    place = [f"--local-addr={LOOPBACK}"] if task.local else []
    return [
        sys.executable, "-m", "a2c.cli.job_nodes",
        f"--nnodes={task.count}", f"--nproc-per-node={ranks}", f"--max-restarts={RESTARTS}",
        "--rdzv-backend=c10d", f"--rdzv-endpoint={task.first}:{PORTS[number % len(PORTS)]}", f"--rdzv-id={task.job}",
        *place, "-m", "a2c.cli.job_process",
    ]  # fmt: skip


def interfaces(task: Task, environ: Mapping[str, str]) -> dict[str, str]:
    """Environment variables by which ranks on this machine alone talk over the loopback interface."""
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    names = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME") if task.local else ()
    return {name: loopback for name in names if name not in environ}


if __name__ == "__main__":
    hear_signals()
    from torch.distributed.run import main

    main(sys.argv[1:])
