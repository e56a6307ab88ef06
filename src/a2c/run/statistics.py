"""Statistics over seeds: the interquartile mean and its bootstrap interval, as pure functions.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice": with few runs the
mean hangs on outliers and the median wastes data; the interquartile mean does neither. SciPy computes it and
draws the bootstrap resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]

REDRAWN_AT_ONCE = 2**21  # scores of the resamples that are in memory together: 16 MiB


@overload
def iqm(scores: ArrayLike, axis: None = None) -> float: ...


@overload
def iqm(scores: ArrayLike, axis: int) -> Floats: ...


def iqm(scores: ArrayLike, axis: int | None = None) -> float | Floats:
    """Mean of the middle half: of n scores, floor(n / 4) are left out at either end.

    Args:
        scores: any shape, not empty.
        axis: axis to average over; None averages over all scores.

    Returns:
        A number for None, otherwise a float64 array without that axis.

    Raises:
        ValueError: there are no scores.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.size == 0:
        raise ValueError("there are no scores to take the interquartile mean of")
    middle = stats.trim_mean(values, 0.25, axis=axis)
    return float(middle) if axis is None else np.asarray(middle)


def bootstrap_interval(
    scores: ArrayLike,
    statistic: Callable[[Floats], ArrayLike] = iqm,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Stratified percentile bootstrap: it redraws runs with replacement within each task.

    Args:
        scores: ``[R]`` or ``[R, K]``: R runs (seeds) of K tasks.
        statistic: maps ``[R, K]`` to one number.
        confidence: share of resamples inside the interval.
        resamples: how many to draw.
        seed: the same seed gives the same interval.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: there are no scores, or confidence is not in (0, 1).
    """
    values = np.asarray(scores, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values

    def of_tasks(*tasks: Floats) -> Floats:
        return np.asarray(statistic(np.stack(tasks, axis=1)), dtype=np.float64)

    low, high = percentile_interval(list(values.T), of_tasks, confidence=confidence, resamples=resamples, seed=seed)
    return float(low), float(high)


def iqm_band(
    curves: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Floats, Floats, Floats]:
    """IQM over seeds of every point of a learning curve, with its bootstrap interval.

    It redraws whole runs, so that the band keeps the correlation between the points of a run.

    Args:
        curves: ``[R, P]``: R runs (seeds), each a score at the same P steps.
        confidence, resamples, seed: as in :func:`bootstrap_interval`.

    Returns:
        IQM, lower and upper end, each ``[P]``.

    Raises:
        ValueError: there are no runs, or confidence is not in (0, 1).
    """
    values = np.asarray(curves, dtype=np.float64)

    def middle(runs: Floats, axis: int = 0) -> Floats:
        return iqm(runs, axis)

    low, high = percentile_interval([values], middle, confidence=confidence, resamples=resamples, seed=seed)
    return middle(values), low, high


def probability_of_improvement(first: ArrayLike, second: ArrayLike, axis: int = 0) -> Floats:
    """How likely a run of the first group scores higher than one of the second; ties count half.

        P(X > Y) = U / (n m),   U the statistic of Mann and Whitney

    Args:
        first, second: scores of independent runs along ``axis``: n and m of them; the other axes are equal.

    Returns:
        float64 without that axis.

    Raises:
        ValueError: a group has no scores.

    Source: Agarwal et al. 2021, "probability of improvement"; on one task.
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    count, others = x.shape[axis], y.shape[axis]
    if not count or not others:
        raise ValueError("there are no scores to compare")
    ranks = stats.rankdata(np.concatenate([x, y], axis=axis), axis=axis)  # U without the n m pairs: ranks hold them
    sums = ranks.take(np.arange(count), axis=axis).sum(axis=axis)
    return np.asarray((sums - count * (count + 1) / 2) / (count * others))


def percentile_interval(
    groups: Sequence[Floats], statistic: Callable[..., Floats], *, confidence: float, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """Percentile bootstrap: it redraws the runs of each group with replacement, independently of other groups.

    Args:
        groups: G groups of runs, each ``[R, ...]``; R may differ. What belongs to a run stays together.
        statistic: maps the G groups to a number or an array. With a parameter ``axis`` (0 unless given) it gets many
            resamples at once, and their runs lie along that axis.
        confidence: share of resamples inside the interval.
        resamples: how many to draw.
        seed: the same seed gives the same interval.

    Returns:
        Lower and upper end, each shaped like the statistic; both are the statistic where every group is a single run.

    Raises:
        ValueError: there are no scores, or confidence is not in (0, 1).
    """
    if not groups or not all(runs.size for runs in groups):
        raise ValueError("an interval needs at least one score")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} must be in (0, 1)")
    if all(len(runs) == 1 for runs in groups):
        value = statistic(*groups)
        return value, value
    found = stats.bootstrap(
        [runs if len(runs) > 1 else np.repeat(runs, 2, axis=0) for runs in groups],  # SciPy refuses a single run
        statistic,
        n_resamples=resamples,
        batch=max(1, REDRAWN_AT_ONCE // sum(runs.size for runs in groups)),
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(seed),  # `rng` since SciPy 1.15, which takes either name
    )
    return found.confidence_interval.low, found.confidence_interval.high
