"""Shares of runs in which something happened, and how two of them differ: pure functions of counts."""

from __future__ import annotations

import math

from scipy import stats

from a2c.study.measures.gradients import Estimate


def share(count: int, of: int, *, confidence: float = 0.95) -> Estimate:
    """A share with Wilson's interval, which is sound for few runs and for shares of 0 and 1.

    Args:
        count: runs in which it happened.
        of: all runs, at least 1.
        confidence: share of such intervals that hold the truth.

    Raises:
        ValueError: there are no runs, or fewer runs than ``count``.

    Source: Wilson 1927; Brown, Cai & DasGupta 2001, "Interval estimation for a binomial proportion".
    """
    if of < 1 or not 0 <= count <= of:
        raise ValueError(f"{count} of {of} runs is not a share")
    ends = stats.binomtest(count, of).proportion_ci(confidence, method="wilson")
    return Estimate(count / of, float(ends.low), float(ends.high))


def difference(first: Estimate, second: Estimate) -> Estimate:
    """The difference of two independent shares, with Newcombe's interval (from the Wilson intervals of both).

    Source: Newcombe 1998, "Interval estimation for the difference between independent proportions", method 10.
    """
    value = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, value - below, value + above)
