"""Runs at a glance: one line for each."""

from __future__ import annotations

import time
from collections.abc import Sequence

from a2c.run.comparing.past_run import PastRun
from a2c.run.comparing.run_groups import shown
from a2c.run.showing.figures import NOTHING, age, aligned, number, relative, spread

LATEST_ONLY = "~"  # before a score that is only the latest evaluation's


def listed(runs: Sequence[PastRun], now: float | None = None) -> list[str]:
    """A table of runs, those that wrote last at its end, where a terminal still shows them.

    Args:
        runs: in any order.
        now: seconds since the epoch; None: by the clock.
    """
    now = time.time() if now is None else now
    lines = [["run", "environment", "state", "steps", "score", "age"]]
    for run in sorted(runs, key=lambda run: run.written):
        steps = f"{run.env_steps:,} of {run.config.total_steps:,}"
        words = [shown(relative(run.folder)), shown(run.config.env.id), run.state]
        lines.append([*words, steps, score_of(run), age(now - run.written)])
    note = [f"{LATEST_ONLY}: the latest evaluation; there is no final score yet"]
    return aligned(lines, words=3) + (note if any(line[4].startswith(LATEST_ONLY) for line in lines) else [])


def score_of(run: PastRun) -> str:
    """The final score of a run, else that of its latest evaluation, marked as such."""
    if run.score is not None:
        return spread(run.score, run.score_std)
    return NOTHING if run.latest is None else f"{LATEST_ONLY}{number(run.latest)}"
