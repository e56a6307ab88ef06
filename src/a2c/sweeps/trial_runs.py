"""One trial: its values trained over its seeds, and what comes out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from a2c.errors import STOPPED
from a2c.run.comparing.past_run import finite
from a2c.settings.suggest import nearest
from a2c.storage.metrics_file import METRICS, last_row, read_rows
from a2c.sweeps.ending import Urgency
from a2c.sweeps.sweep_file import SCORE, Sweep
from a2c.sweeps.training import finished, last_line, train

Report = Callable[[int, float], bool]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of a sweep to do.

    Attributes:
        sweep: what to search.
        folder: of the runs and the journal.
        trials: how many there shall be in all, those of earlier sessions included.
        seeds: runs of each trial, with seeds from 1; its score is the median of theirs.
        jobs: trials at once.
        seed: of the search.
        hours: after which this session ends in order; None: it goes on to the end.
    """

    sweep: Sweep
    folder: Path
    trials: int
    seeds: int
    jobs: int
    seed: int
    hours: float | None = None


class TrialPruned(Exception):
    """A trial is so far behind others that it ends early."""


class TrialStopped(Exception):
    """The sweep ends before the trial does; a later session goes on with it."""


class TrialFailed(Exception):
    """A training has failed.

    Args:
        code: its exit code.
        text: what it said last.

    Attributes:
        code, said: as given.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"failed with exit code {code}: {text}")
        self.code, self.said = code, text


def trial_name(number: int) -> str:
    """The name of a trial, and of its run folder."""
    return f"trial-{number:04d}"


def folders(plan: Plan, number: int) -> list[Path]:
    """The run folders of a trial."""
    name = trial_name(number)
    names = [name] if plan.seeds == 1 else [f"{name}-seed{seed}" for seed in range(1, plan.seeds + 1)]
    return [plan.folder / name for name in names]


def run_trial(
    number: int, values: Mapping[str, str], plan: Plan, *, stop: Callable[[], Urgency], report: Report | None
) -> float:
    """Train a trial and return its score; runs of it that are finished are not trained again.

    Args:
        number: of the trial.
        values: its settings, as one types them.
        plan: of the sweep.
        stop: how urgently the sweep is to end.
        report: called with the number and the score of each evaluation of the first run; True ends the trial. None:
            nobody asks.

    Raises:
        TrialPruned, TrialStopped, TrialFailed: it has no score.
        RunIOError: its folder cannot be written.
    """
    scores = []
    for seed, folder in enumerate(folders(plan, number), 1):
        own = {"seed": str(seed), **values} if plan.seeds > 1 else values
        overrides = [*plan.sweep.overrides, *(f"{name}={value}" for name, value in own.items())]
        scores.append(score_of(folder, overrides, plan.sweep.metric, stop=stop, report=report if seed == 1 else None))
    return statistics.median(scores)


def score_of(
    folder: Path, overrides: Sequence[str], metric: str, *, stop: Callable[[], Urgency], report: Report | None = None
) -> float:
    """Train in a folder, unless that has been done, and return the metric at the run's end.

    Args:
        folder: of the run.
        overrides: its settings.
        metric: its name.
        stop, report: as of :func:`run_trial`.

    Raises:
        TrialPruned, TrialStopped, TrialFailed: it has none.
        RunIOError: the folder cannot be written.
    """
    run = finished(folder)
    if run is None:
        behind = _Behind(folder, metric, report)
        code = train(folder, overrides, lambda: stop() or int(behind()))
        if behind.found:
            raise TrialPruned
        if stop() or code in STOPPED.values():  # somebody else may stop it: the machine that shuts down
            raise TrialStopped
        run = finished(folder) if code == 0 else None
        if run is None:
            raise TrialFailed(code or 1, last_line(folder))
    row = last_row(run.folder / METRICS) or {}
    score = run.score if metric == SCORE else finite(row.get(metric))
    if score is None:
        guess = nearest(metric, row)
        hint = f"; did you mean '{guess}'?" if guess not in (None, metric) else ""
        raise TrialFailed(1, f"{folder.name} has no {metric} at its end{hint}")
    return score


class _Behind:
    """Reports the evaluations of a run as they come; called, it says whether the run is to end early."""

    def __init__(self, folder: Path, metric: str, report: Report | None) -> None:
        self._rows, self._metric, self._report = folder / METRICS, metric, report
        self._reported = 0
        self.found = False

    def __call__(self) -> bool:
        if self._report is None:
            return False
        scores = [score for row in read_rows(self._rows) if (score := finite(row.get(self._metric))) is not None]
        while self._reported < len(scores) and not self.found:
            self._reported += 1
            self.found = self._report(self._reported, scores[self._reported - 1])
        return self.found
