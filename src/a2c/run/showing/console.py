"""What a run shows: a start panel, a live progress bar, a table row per interval, an end panel.

Without a terminal the same facts come as plain lines; in a notebook with a bar below them. Output never ends a run:
when the terminal goes away or a pipe closes, the console falls silent and training goes on.
"""

from __future__ import annotations

import atexit
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TextIO

from rich.console import RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from a2c.run.showing import console_text as words
from a2c.run.showing.figures import duration, number
from a2c.run.showing.next_commands import next_commands
from a2c.run.showing.terminal import Guard, terminal_on
from a2c.settings.config import Config
from a2c.settings.redaction import Secrets

REDRAW = 0.25  # seconds between redraws of the bar
QUIET = 30.0  # seconds between lines about an evaluation where there is no bar
PLAIN_WIDTH = 100  # columns of a log file


class Console:
    """Shows one run on a terminal, or in a file.

    :meth:`progress` itself redraws the bar, at most four times a second: a refresh thread would compete with the
    trainer for the interpreter.

    Args:
        cfg: settings of the run.
        stream: where to write; None is standard output.
    """

    def __init__(self, cfg: Config, *, stream: TextIO | None = None) -> None:
        self._cfg, self._secrets = cfg, Secrets.of(asdict(cfg))
        self._stream = sys.stdout if stream is None else stream
        self._started = time.monotonic()
        self._next_draw, self._next_line = 0.0, self._started + QUIET
        self._evaluating = ""
        self._header_width, self._titles = 0, [""]
        self._own: dict[str, None] = {}  # names of the user's own metrics, as they came
        self._progress: tuple[int, Mapping[str, Any]] = (0, {})
        self._guard = Guard(self._stream)
        self._live: Live | None = None
        self._in_notebook = type(self._stream).__module__.startswith("ipykernel.")
        self._drawn = False  # in a notebook: the last line is the bar
        self._terminal = terminal_on(self._stream)
        atexit.register(self.close)  # a hidden cursor must not outlive the process

    def start(self, facts: Mapping[str, str]) -> None:
        """Show what will be trained; the clock and the bar start here."""
        self._started = time.monotonic()
        title = f"a2c  {self._cfg.env.id}"
        if self._terminal is None:
            self._plain(title, *_aligned(list(facts.items())))
            return
        self._print(_panel(title, [(label, Text(text)) for label, text in facts.items()], "cyan"))
        live = Live(console=self._terminal, auto_refresh=False, transient=True)
        self._guard(live.start)
        self._live = live

    def progress(self, env_steps: int, metrics: Mapping[str, Any]) -> None:
        """Move the bar, with the metrics of the last row; costs next to nothing unless it is time to redraw."""
        if not self._redraws:
            return
        now = time.monotonic()
        if now < self._next_draw:
            return
        self._next_draw = now + REDRAW
        self._progress = (env_steps, metrics)
        self._draw()

    def evaluating(self, ended: int, episodes: int) -> None:
        """Show how far the evaluation is that training waits for; costs next to nothing unless it is time to redraw."""
        now = time.monotonic()
        self._evaluating = f"evaluating {ended}/{episodes}" if ended < episodes else ""
        if not self._redraws:
            if now >= self._next_line and ended:
                self._next_line = now + QUIET
                self._line(f"evaluated {ended:,} of {episodes:,} episodes")
        elif ended in (0, episodes) or now >= self._next_draw:
            self._next_draw = now + REDRAW
            self._draw()

    def row(self, env_steps: int, metrics: Mapping[str, Any]) -> None:
        """Add a row to the table; missing metrics show as ``-``."""
        width = PLAIN_WIDTH if self._terminal is None else self._terminal.width
        self._own |= dict.fromkeys(name for name in metrics if name.startswith(words.OWN))
        columns, gap = words.fitting(words.columns_of(self._cfg, list(self._own)), width, self._cfg.total_steps)
        facts = {**metrics, "steps": env_steps, "elapsed": time.monotonic() - self._started}
        if (titles := [column.title for column in columns]) != self._titles or width != self._header_width:
            self._header_width, self._titles = width, titles
            self._line(words.table_line(titles, columns, gap), "bold cyan")
        self._line(words.table_line([column.cell(facts) for column in columns], columns, gap))

    def note(self, line: str) -> None:
        """Print one line above the bar."""
        self._line(self._secrets.hide(line), "yellow")

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Take the bar away; show the results, where they are and what to type next."""
        self._stop_live()
        lines = words.outcome(summary)
        commands = next_commands(summary, self._cfg)
        stopped = f"stopped by {summary['stopped']}" if summary.get("stopped") else ""
        title = f"{summary['env_id']}  {stopped or words.verdict(summary) or 'finished'}"
        if self._terminal is None:
            self._plain(title, *_aligned(lines + [("next" if i == 0 else "", c) for i, (c, _) in enumerate(commands)]))
            return
        colour = {"SOLVED": "green", "not solved": "yellow"}.get(words.verdict(summary), "cyan")
        shown = [(label, Text(text, style=f"bold {colour}" if label == "score" else "")) for label, text in lines]
        widest = max(len(command) for command, _ in commands)
        explained = widest + 40 <= self._terminal.width  # otherwise the purposes would wrap
        for index, (command, purpose) in enumerate(commands):
            text = Text.assemble((command, "bold"), (f"{' ' * (widest - len(command))}  {purpose}", "dim"))
            shown.append(("next" if index == 0 else "", text if explained else Text(command, style="bold")))
        self._print(_panel(title, shown, colour))

    def close(self) -> None:
        """Give the terminal back as it was. Safe to call any number of times, also after an exception."""
        self._stop_live()
        atexit.unregister(self.close)

    @property
    def _redraws(self) -> bool:
        return self._live is not None or self._in_notebook

    def _draw(self) -> None:
        live, terminal = self._live, self._terminal
        if self._in_notebook:  # whose lines begin anew after a carriage return, as a terminal's do
            self._drawn = True
            bar = _bar(*self._progress, self._cfg.total_steps, PLAIN_WIDTH, self._evaluating)
            self._guard(lambda: print(f"\r{bar.plain:<{PLAIN_WIDTH}}", end="", file=self._stream, flush=True))
        if live is not None and terminal is not None:
            bar = _bar(*self._progress, self._cfg.total_steps, terminal.width, self._evaluating)
            self._guard(lambda: live.update(bar, refresh=True))

    def _stop_live(self) -> None:
        live, self._live = self._live, None
        self._plain()
        if live is not None:
            self._guard(live.stop)

    def _line(self, text: str, style: str = "") -> None:
        if self._terminal is None:
            self._plain(text)
        else:
            self._print(Text(text, style=style))

    def _print(self, what: RenderableType) -> None:
        terminal = self._terminal
        if terminal is not None:
            self._guard(lambda: terminal.print(what))

    def _plain(self, *lines: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        text = "".join(f"{line}\n" for line in lines).encode(encoding, "replace").decode(encoding)
        if self._drawn:
            self._drawn, text = False, f"\r{'':{PLAIN_WIDTH}}\r{text}"
        if not text:
            return
        self._guard(lambda: print(text, end="", file=self._stream, flush=True))


def _aligned(lines: list[tuple[str, str]]) -> list[str]:
    width = max((len(label) for label, _ in lines), default=0)
    return [f"  {label.ljust(width)}  {text}" for label, text in lines]


def _panel(title: str, lines: list[tuple[str, Text]], colour: str) -> Panel:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in lines:
        grid.add_row(label, text)
    heading = Text(title, style=f"bold {colour}")
    return Panel(grid, title=heading, title_align="left", border_style=colour, expand=False, padding=(0, 2))


def _bar(env_steps: int, metrics: Mapping[str, Any], total: int, width: int, evaluating: str = "") -> Text:
    fps, share = metrics.get("time/fps", 0.0), min(1.0, env_steps / total)
    left = duration((total - env_steps) / fps) if fps > 0 and env_steps < total else "-"
    where_time_goes, mostly = words.brief_splits(metrics)
    facts = [f"{env_steps:,}/{total:,}", f"{number(fps, 0)} steps/s"]
    facts += [f"return {number(metrics.get('rollout/ep_rew_mean'))}", f"eta {left}"]
    if evaluating:  # nothing else moves meanwhile
        facts, where_time_goes, mostly = [evaluating, facts[0]], "", ""
    choices = [[where_time_goes, *facts], [mostly, *facts], *(facts[dropped:] for dropped in range(len(facts)))]
    tails = ["  ".join(filter(None, choice)) for choice in choices]
    tail = next((tail for tail in tails if len(tail) + 18 <= width), tails[-1])
    room = max(4, min(40, width - len(tail) - 9))
    done = round(room * share)
    head = f"{share:4.0%} "
    return Text.assemble(
        (head, "bold"), ("━" * done, "green"), ("─" * (room - done), "dim"), f"  {tail}", no_wrap=True, overflow="crop"
    )
