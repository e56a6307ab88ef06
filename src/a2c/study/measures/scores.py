"""Scores of two groups of runs, compared by their interquartile means."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from a2c.report.statistics import iqm
from a2c.study.measures.gradients import Estimate


def iqm_difference(
    first: ArrayLike, second: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Interquartile mean of the first group minus that of the second, with a percentile bootstrap interval.

    Args:
        first, second: ``[R1]`` and ``[R2]`` scores of independent runs; each group is redrawn by itself.
        confidence: share of resamples inside the interval.
        resamples: how many to draw.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: a group has no scores.
    """
    rng = np.random.default_rng(seed)

    def drawn(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return iqm(scores[rng.integers(len(scores), size=(resamples, len(scores)))], axis=1)

    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    value = iqm(one) - iqm(other)
    low, high = np.quantile(drawn(one) - drawn(other), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(low), float(high))
