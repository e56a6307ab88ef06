"""Positive numbers over seeds, and the ratio of two of them measured on the same seeds: intervals of logarithms."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from a2c.study.measures.gradients import Estimate, mean_interval


def geometric_mean(values: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Geometric mean of positive numbers ``[S]``, one a seed, with Student's t interval of their logarithms.

    Raises:
        ValueError: fewer than two numbers, or one that is not positive.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.size and numbers.min() <= 0.0:
        raise ValueError("a geometric mean needs positive numbers")
    logs = mean_interval(np.log(numbers), confidence=confidence)
    return Estimate(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high))


def ratio(above: ArrayLike, below: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Geometric mean of ``above / below``, both ``[S]`` and measured on the same seeds: what they share drops out.

    Raises:
        ValueError: as in :func:`geometric_mean`.
    """
    return geometric_mean(
        np.asarray(above, dtype=np.float64) / np.asarray(below, dtype=np.float64), confidence=confidence
    )
