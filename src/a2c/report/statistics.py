"""Statistics over seeds: the interquartile mean and its bootstrap interval, as pure functions.

Source: Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice": with few runs the
mean hangs on outliers and the median wastes data; the interquartile mean does neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@overload
def iqm(scores: ArrayLike, axis: None = None) -> float: ...


@overload
def iqm(scores: ArrayLike, axis: int) -> Floats: ...


def iqm(scores: ArrayLike, axis: int | None = None) -> float | Floats:
    """Mean of the middle half: the lowest and the highest quarter are left out.

    With n scores, floor(n / 4) are cut at either end, as ``scipy.stats.trim_mean(scores, 0.25)`` does.

    Args:
        scores: any shape, not empty.
        axis: axis to average over; None takes all scores together.

    Returns:
        A number for None, otherwise a float64 array without that axis.

    Raises:
        ValueError: there are no scores.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.size == 0:
        raise ValueError("the interquartile mean of no scores")
    if axis is None:
        return float(iqm(values.ravel(), axis=0))
    ordered = np.moveaxis(np.sort(values, axis=axis), axis, 0)
    cut = len(ordered) // 4
    return np.asarray(ordered[cut : len(ordered) - cut].mean(axis=0), dtype=np.float64)


def bootstrap_interval(
    scores: ArrayLike,
    statistic: Callable[[Floats], ArrayLike] = iqm,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Stratified percentile bootstrap: runs are redrawn with replacement within each task.

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
    _check(values, confidence)
    rng = np.random.default_rng(seed)
    tasks = np.arange(values.shape[1])
    drawn = [statistic(values[rng.integers(len(values), size=values.shape), tasks]) for _ in range(resamples)]
    low, high = np.quantile(np.asarray(drawn, dtype=np.float64), [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def iqm_band(
    curves: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Floats, Floats, Floats]:
    """IQM over seeds of every point of a learning curve, with its bootstrap interval.

    Whole runs are redrawn, so that the band keeps the correlation between the points of a run.

    Args:
        curves: ``[R, P]``: R runs (seeds), each a score at the same P steps.

    Returns:
        IQM, lower and upper end, each ``[P]``.

    Raises:
        ValueError: there are no runs, or confidence is not in (0, 1).
    """
    values = np.asarray(curves, dtype=np.float64)
    _check(values, confidence)
    rng = np.random.default_rng(seed)
    runs = rng.integers(len(values), size=(resamples, len(values)))
    drawn = np.stack([iqm(values[chosen], axis=0) for chosen in runs])
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return iqm(values, axis=0), low, high


def _check(values: Floats, confidence: float) -> None:
    if values.size == 0:
        raise ValueError("an interval needs at least one score")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} must be in (0, 1)")
