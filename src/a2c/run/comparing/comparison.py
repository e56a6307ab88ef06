"""The figures of a comparison: each group's score, against the first group of its environment, and how soon."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from a2c.errors import ConfigError
from a2c.run.comparing.past_run import FINISHED, PastRun
from a2c.run.comparing.run_groups import Group, grouped
from a2c.run.comparing.score_curves import (
    Reached,
    ScoreCurve,
    median_reached,
    metric_of,
    reached,
    score_curve,
    together,
)
from a2c.run.showing.figures import relative
from a2c.run.statistics import bootstrap_interval, iqm, iqm_band, percentile_interval, probability_of_improvement
from a2c.storage.metrics_file import METRICS, read_rows

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and its 95 % bootstrap interval; None for both ends: too few runs for one."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """A learning curve over runs."""

    steps: Floats  # [P] env steps
    middle: Floats  # [P] interquartile mean
    low: Floats  # [P] of its 95 % bootstrap interval
    high: Floats  # [P]


@dataclass(frozen=True, slots=True)
class Compared:
    """One group and its figures; None where there is nothing to say.

    Attributes:
        group: its settings and runs.
        scores: final scores of its counted runs that have one.
        score: their interquartile mean.
        better: how likely a run of it scores above one of the first group of its environment; None: it is that group.
        aim: the score to reach: what was asked for, or the threshold of the environment.
        metric: what ``reach`` and ``band`` are of: evaluations or returns of training.
        reach: of each counted run, when it reached the aim; None: never. Empty without an aim.
        median: of ``reach``.
        band: the learning curve of the counted runs; None where they have no step in common.
    """

    group: Group
    scores: list[float]
    score: Figure | None
    better: Figure | None
    aim: float | None
    metric: str
    reach: list[Reached | None]
    median: Reached | None
    band: Band | None


def compare(runs: Sequence[PastRun], aim: float | None = None) -> list[Compared]:
    """Compare runs, grouped by what differs between their settings.

    Args:
        runs: at least one.
        aim: the score to reach; None: the threshold of each environment.

    Raises:
        ConfigError: rows of a run cannot be read.
    """
    groups = grouped(runs)
    metrics, curves = _curves(groups)
    compared: list[Compared] = []
    firsts: dict[str, list[float]] = {}
    for group in groups:
        env, counted = group.env_id, group.counted
        scores = [run.score for run in counted if run.score is not None]
        first = firsts.get(env)
        firsts.setdefault(env, scores)
        wanted = aim if aim is not None else _threshold(groups, env)
        own = [curves[id(run)] for run in counted]
        reach = [] if wanted is None else [reached(curve, wanted) for curve in own]
        compared.append(
            Compared(
                group=group,
                scores=scores,
                score=_score(scores),
                better=None if first is None else _better(scores, first),
                aim=wanted,
                metric=metrics[env],
                reach=reach,
                median=median_reached(reach) if reach else None,
                band=_band(own),
            )
        )
    return compared


def remarks(compared: Sequence[Compared]) -> list[str]:
    """What a reader of the figures has to know: runs that do not count, and seeds that count twice."""
    said = []
    for group in (each.group for each in compared):
        counted = {id(run) for run in group.counted}
        for run in group.runs:
            if run.state != FINISHED:
                verb = "counts as far as it got" if id(run) in counted else "does not count"
                of = f"{run.env_steps:,} of {run.config.total_steps:,} steps"
                said.append(f"{relative(run.folder)} {verb}: {run.state} after {of}")
        seeds = Counter(run.config.seed for run in group.counted)
        for seed, count in seeds.items():
            if count > 1:
                said.append(f"{group.label or group.env_id}: seed {seed} counts {count} times, as if it were {count}")
    return said


def _curves(groups: Sequence[Group]) -> tuple[dict[str, str], dict[int, ScoreCurve]]:
    """The metric of each environment, and the curve of each counted run by its ``id``."""
    rows = {id(run): _rows(run) for group in groups for run in group.counted}
    of_env: dict[str, list[int]] = {}
    for group in groups:
        of_env.setdefault(group.env_id, []).extend(id(run) for run in group.counted)
    metrics = {env: metric_of([rows[run] for run in runs if rows[run]]) for env, runs in of_env.items()}
    return metrics, {run: score_curve(rows[run], metrics[env]) for env, runs in of_env.items() for run in runs}


def _rows(run: PastRun) -> list[dict[str, object]]:
    try:
        return read_rows(run.folder / METRICS)
    except OSError as error:
        raise ConfigError(f"cannot read {run.folder / METRICS}: {error.strerror or error}") from error


def _threshold(groups: Sequence[Group], env: str) -> float | None:
    found = (run.threshold for group in groups if group.env_id == env for run in group.runs)
    return next((threshold for threshold in found if threshold is not None), None)


def _band(curves: Sequence[ScoreCurve]) -> Band | None:
    steps, scores = together(curves)
    return Band(steps, *iqm_band(scores)) if len(steps) else None


def _score(scores: Sequence[float]) -> Figure | None:
    if not scores:
        return None
    return Figure(iqm(scores), *(bootstrap_interval(scores) if len(scores) > 1 else ()))


def _better(scores: Sequence[float], first: Sequence[float]) -> Figure | None:
    if not scores or not first:
        return None
    ours, theirs = np.asarray(scores), np.asarray(first)
    value = float(probability_of_improvement(ours, theirs))
    if min(len(scores), len(first)) < 2:
        return Figure(value)
    interval = percentile_interval([ours, theirs], probability_of_improvement, confidence=0.95, resamples=2000, seed=0)
    return Figure(value, *map(float, interval))
