"""What Slurm says to a task of a job, while the job's own process trains.

submitit would hear it and start the job again at once. But first the run has to be saved.
"""

from __future__ import annotations

import os
import signal
import time
from types import FrameType
from typing import Any, Self

from a2c.cli.job_nodes import Task

EVERY = 0.2  # seconds between looks
LINGER = 100.0  # seconds in which Slurm, after a SIGTERM, ends a task or has it start again


class Scheduler:
    """Slurm, or submitit in its place: it may ask a task to end, or to make room and start again later.

    Within its block what it says is noted, and nothing else happens.

    Args:
        task: of submitit; None: there is no scheduler.

    Attributes:
        heard: the signals that came, in order.
    """

    def __init__(self, task: Task | None) -> None:
        self.heard: list[int] = []
        self._lingers = task is not None and not task.local
        self._again = int(getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"))
        self._signals = () if task is None else (int(signal.SIGTERM), self._again)
        self._submitits: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._submitits = {number: signal.signal(number, self._hear) for number in self._signals}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._submitits.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard.append(number)

    def go_on(self) -> None:
        """After a stop that is saved, have submitit start the job again, and do not come back, if Slurm asked for that.

        After a SIGTERM Slurm itself decides: it ends this process, or says a moment later that it shall start again.
        """
        until = time.monotonic() + LINGER
        while self.heard and self._lingers and self._again not in self.heard and time.monotonic() < until:
            time.sleep(EVERY)
        if self._again in self.heard:
            self._submitits[self._again](self._again, None)
