"""The screen of a sweep: on a terminal a table that moves, elsewhere a line for each trial that ends."""

from __future__ import annotations

import functools
import math
import re
import sys
import threading
import time
from types import TracebackType
from typing import TextIO

from rich.console import Group
from rich.live import Live
from rich.text import Text

from a2c.run.showing.terminal import Guard, terminal_on
from a2c.sweeps.live_table import seconds_left, status_line, table_of
from a2c.sweeps.sweep_file import Sweep
from a2c.sweeps.trial_watch import TrialWatch

REDRAW = 1.0  # seconds between looks at the runs
_IN_THE_TABLE = re.compile(r"trial \d+ of \d+: (?!.*: failed with )")  # what a trial died of has no room there


class SweepScreen:
    """Shows a sweep while it runs; a context manager, which gives the terminal back.

    A terminal or pipe that goes away silences it, and the sweep goes on.

    Args:
        watch: looks at the trials.
        sweep: which one.
        wanted: trials in all; None: only the hours end it.
        hours: after which the session ends; None: with its trials.
        stream: where to write; None is standard output.
    """

    def __init__(
        self,
        watch: TrialWatch,
        sweep: Sweep,
        wanted: int | None,
        *,
        hours: float | None = None,
        stream: TextIO | None = None,
    ) -> None:
        self._watch, self._sweep = watch, sweep
        self._wanted, self._most = wanted, math.inf if hours is None else 3600 * hours
        self._stream = sys.stdout if stream is None else stream
        self._terminal = terminal_on(self._stream)
        self._live: Live | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_drawing, name="sweep-screen", daemon=True)
        self._began, self._before = 0.0, 0.0
        self._guard = Guard(self._stream)

    def __enter__(self) -> SweepScreen:
        self._began, self._before = time.monotonic(), self._done()
        if self._terminal is not None:
            self._live = Live(console=self._terminal, auto_refresh=False, transient=True)
            self._guard(self._live.start)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        if self._live is not None:
            self._thread.join()
            self._guard(self._live.stop)

    def tell(self, line: str) -> None:
        """Print a line; one about a trial that ended well only where there is no table."""
        terminal = self._terminal
        if terminal is None:
            self._guard(lambda: print(line, file=self._stream, flush=True))
        elif not _IN_THE_TABLE.match(line):
            self._guard(lambda: terminal.print(Text(line)))

    def _keep_drawing(self) -> None:
        live, terminal = self._live, self._terminal
        if live is None or terminal is None:
            return
        while not self._guard.muted:
            picture = self._picture(*terminal.size)
            self._guard(functools.partial(live.update, picture, refresh=True))
            if self._over.wait(REDRAW):
                return

    def _picture(self, width: int, height: int) -> Group:
        """The table and the line below it, for a terminal of so many characters."""
        sweep, trials = self._sweep, self._watch()
        names = [name for name, parameter in sweep.parameters.items() if len(parameter.choices) != 1]
        passed = time.monotonic() - self._began
        done = sum(trial.share for trial in trials)
        left = seconds_left(self._before, done, passed, self._wanted, max(0.0, self._most - passed))
        table = table_of(trials, names, maximize=sweep.maximize, width=width, height=height - 4)
        line = status_line(sweep.name, trials, self._wanted, left, maximize=sweep.maximize)
        return Group(table, Text(), Text(line, style="bold", overflow="ellipsis", no_wrap=True))

    def _done(self) -> float:
        return sum(trial.share for trial in self._watch())
