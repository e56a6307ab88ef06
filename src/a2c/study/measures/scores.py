"""Scores of two groups of runs, compared by their interquartile means."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from a2c.run.statistics import iqm, percentile_interval
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
        ValueError: a group has no scores, or confidence is not in (0, 1).
    """
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)

    def difference(one: NDArray[np.float64], other: NDArray[np.float64], axis: int = 0) -> NDArray[np.float64]:
        return iqm(one, axis) - iqm(other, axis)

    low, high = percentile_interval([one, other], difference, confidence=confidence, resamples=resamples, seed=seed)
    return Estimate(float(difference(one, other)), float(low), float(high))
