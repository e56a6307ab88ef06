"""Signals of a multirun whose jobs are other processes: the command alone hears them, and asks its jobs to end."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType

from a2c.cli.job_place import ask_to_stop
from a2c.run.stopping import handled
from a2c.settings.notices import tell

SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")


class Stop:
    """The signals by which the command was asked to end; all jobs of a multirun are told.

    Args:
        place: of the multirun.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self.signals: list[str] = []

    def ask(self, name: str) -> None:
        """Note a signal. A second one ends the jobs at once."""
        self.signals.append(name)
        if len(self.signals) == 1:
            tell("stopping: every run finishes its update and is saved; once more ends them at once")
        ask_to_stop(self._place, self.signals)

    def look(self) -> None:
        """Note signals that this thread keeps from everybody."""
        for number in signal.sigpending() & _blocked():
            signal.sigwait({number})
            self.ask(signal.Signals(number).name)


@contextlib.contextmanager
def heard_here_alone(place: Path) -> Iterator[Stop]:
    """Within the block signals interrupt nothing: :meth:`Stop.look`, called again and again, notes them.

    A terminal sends Ctrl-C to all processes of a command. Those that start within the block do not hear it, as they
    inherit that it is blocked: else launchers kill their jobs, which could save nothing.

    Args:
        place: of the multirun.
    """
    stop = Stop(place)
    with handled(stop.ask):  # libraries have threads that block nothing
        numbers = {getattr(signal, name) for name in SIGNALS}
        numbers = {number for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        try:
            _start_trackers()
            signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
            yield stop
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_signals() -> None:
    """In the process of a launcher: from now on such signals interrupt nothing; programs that it starts hear them.

    They are blocked there already, unless a library has unblocked them in the command meanwhile.
    """
    for name in SIGNALS:
        signal.signal(getattr(signal, name), _nothing)


def _nothing(number: int, frame: FrameType | None) -> None:
    pass


def _start_trackers() -> None:
    """Start what launchers would start to keep track of shared memory, and with it unblock some of the signals."""
    resource_tracker.ensure_running()
    with contextlib.suppress(ImportError):
        from joblib.externals.loky.backend import resource_tracker as of_joblib

        of_joblib.ensure_running()


def hear_signals() -> None:
    """In the process of a job: hear signals again, but for the one by which Slurm speaks to submitit alone."""
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR2})


def _blocked() -> set[signal.Signals]:
    assert threading.current_thread() is not threading.main_thread()
    mine = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    return {signal.Signals(number) for number in mine}
