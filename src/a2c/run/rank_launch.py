"""``ranks=2``: train with several processes on this machine, which torch's elastic agent starts and watches."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from a2c.errors import RankFailure, StoppedError
from a2c.machine.processes.launch import Registered
from a2c.machine.processes.pickles import Pickled
from a2c.network.making import OwnNetwork
from a2c.run.callback import OnReport
from a2c.run.rank_job import Job, Outcome, read_outcomes, write_job
from a2c.run.stopping import handled
from a2c.run.summary import Summary
from a2c.settings.config import Config
from a2c.storage.run_lock import inherited


def launch(cfg: Config, folder: Path, network: OwnNetwork | None, on_report: OnReport | None) -> Summary:
    """Train in a run folder with ``cfg.ranks`` processes.

    Args: as for :func:`a2c.api.train_in`.

    Raises:
        RankFailure: ranks died or hung again and again.
        A2CError: as :func:`a2c.trainer.train`.
    """
    with tempfile.TemporaryDirectory(prefix="a2c-ranks-") as made:
        place = Path(made)
        job = Job(cfg, folder.absolute(), Pickled(network), Pickled(on_report), Registered(), sys.path)
        write_job(place, job)
        code, asked = _watched([sys.executable, "-m", "a2c.run.rank_agent", made, str(cfg.ranks)], inherited(folder))
        return _summary(read_outcomes(place, cfg.ranks), code, asked)


def _watched(command: Sequence[str], inherits: Sequence[int]) -> tuple[int, str | None]:
    """Run the agent, through which signals reach its ranks. Returns its exit code, and the first signal.

    Args:
        command: of the agent.
        inherits: file descriptors. With the lock of the run folder nobody else takes it before the agent has ended,
            which ends its ranks; so also should this process be killed.
    """
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    defaults = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback}
    environ = {**defaults, **environ}
    asked: list[str] = []
    # In a session of its own: Ctrl-C reaches the ranks once, through the agent.
    with subprocess.Popen(command, env=environ, start_new_session=True, pass_fds=inherits) as agent:

        def pass_on(name: str) -> None:
            asked.append(name)
            agent.send_signal(signal.SIGINT if name == "SIGINT" else signal.SIGTERM)

        with handled(pass_on):
            return agent.wait(), next(iter(asked), None)


def _summary(outcomes: Sequence[Outcome | None], code: int, asked: str | None) -> Summary:
    ended = [outcome for outcome in outcomes if outcome is not None and outcome.error is not None]
    for outcome in sorted(ended, key=lambda one: not one.first):
        assert outcome.error is not None
        raise outcome.error
    first = outcomes[0]
    if first is not None and first.summary is not None:
        return first.summary
    if asked is not None:
        raise StoppedError(asked, "the ranks had not begun, or did not end within 30 s")
    raise RankFailure(f"the ranks ended with exit code {code}; the run can go on from its last checkpoint")
