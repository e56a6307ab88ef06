"""Scores over training, as the rows of a run tell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2c.run.comparing.past_run import finite
from a2c.run.showing.learning_curves import align

Floats = NDArray[np.float64]
Rows = Sequence[Mapping[str, Any]]

EVALUATIONS, TRAINING = "eval/mean_reward", "rollout/ep_rew_mean"
ELAPSED = "time/time_elapsed"
POINTS = 200  # most of a curve: a picture shows no more


@dataclass(frozen=True, slots=True)
class ScoreCurve:
    """How one run came along, by ascending env steps."""

    steps: Floats  # [P] env steps
    scores: Floats  # [P]
    seconds: Floats  # [P] of training up to there; NaN where the row does not say


@dataclass(frozen=True, slots=True)
class Reached:
    """The first of its scores with which a run reached an aim."""

    steps: float  # env steps
    seconds: float  # of training; NaN where the run does not say


def metric_of(runs: Sequence[Rows]) -> str:
    """What to compare runs by: evaluations, or returns of training where a run has fewer than two evaluations."""
    counts = [sum(finite(row.get(EVALUATIONS)) is not None for row in rows) for rows in runs]
    return EVALUATIONS if min(counts, default=0) >= 2 else TRAINING


def score_curve(rows: Rows, metric: str) -> ScoreCurve:
    """The curve of a metric; rows without it are left out."""
    points = [
        (step, score, finite(row.get(ELAPSED)))
        for row in rows
        if (step := finite(row["global_step"])) is not None and (score := finite(row.get(metric))) is not None
    ]
    points.sort(key=lambda point: point[0])
    steps, scores, times = np.array(points, dtype=np.float64).reshape(-1, 3).T  # None becomes NaN
    return ScoreCurve(steps, scores, times)


def reached(curve: ScoreCurve, aim: float) -> Reached | None:
    """When a run first had a score of at least ``aim``; None: never."""
    found = np.flatnonzero(curve.scores >= aim)
    return Reached(float(curve.steps[found[0]]), float(curve.seconds[found[0]])) if found.size else None


def median_reached(runs: Sequence[Reached | None]) -> Reached | None:
    """The median over runs, in which one that never got there took longer than any other; None: most did not.

    Raises:
        ValueError: there are no runs.
    """
    steps, seconds = np.array([(np.inf, np.inf) if run is None else (run.steps, run.seconds) for run in runs]).T
    with np.errstate(invalid="ignore"):  # of inf and inf
        middle = Reached(float(np.median(steps)), float(np.median(seconds)))
    return middle if np.isfinite(middle.steps) else None


def together(curves: Sequence[ScoreCurve]) -> tuple[Floats, Floats]:
    """Scores of several runs at common steps: from where all have one to where the first of them ends.

    Returns:
        Steps ``[P]`` and scores ``[R, P]``; P is at most ``POINTS``, and 0 where the runs have no step in common.
    """
    if not curves or not all(len(curve.steps) for curve in curves):
        return np.empty(0), np.empty((len(curves), 0))
    first, last = max(curve.steps[0] for curve in curves), min(curve.steps[-1] for curve in curves)
    steps = np.unique(np.concatenate([curve.steps for curve in curves]))
    steps = steps[(steps >= first) & (steps <= last)]
    if len(steps) > POINTS:
        steps = steps[np.linspace(0, len(steps) - 1, POINTS).round().astype(int)]
    return steps, align([(curve.steps, curve.scores) for curve in curves], steps)
