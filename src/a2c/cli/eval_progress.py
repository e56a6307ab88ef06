"""How far ``a2c eval`` is: a bar on a terminal, elsewhere a line now and then; both on stderr."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from a2c.settings.notices import tell

QUIET = 30.0  # seconds between lines where there is no terminal


class EvalProgress:
    """Shows how many episodes have ended.

    Args:
        episodes: how many there will be.
        console: where the bar goes; None: stderr.
    """

    def __init__(self, episodes: int, console: Console | None = None) -> None:
        self._episodes, self._next_line = episodes, time.monotonic() + QUIET
        console = Console(file=sys.stderr) if console is None else console
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("evaluating"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=console, refresh_per_second=4, transient=True)
            self._task = self._bar.add_task("evaluating", total=episodes)

    def __enter__(self) -> EvalProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def ended(self, episodes: int) -> None:
        """Note how many episodes have ended so far."""
        if self._bar is not None:
            self._bar.update(self._task, completed=episodes)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + QUIET
            tell(f"evaluated {episodes:,} of {self._episodes:,} episodes")
