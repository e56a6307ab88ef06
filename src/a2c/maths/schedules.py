"""Coefficients that change over a run, computed from env steps alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

Points = Sequence[Sequence[float]]  # (fraction of the run, factor), by rising fractions


def scheduled(kind: str | Points, start: float, env_steps: int, total_steps: int, end: float = 0.0) -> float:
    """Value of a coefficient after ``env_steps`` of ``total_steps``; clamped at the end.

        constant   start
        linear     end + (start - end) * (1 - x)                        x = min(env_steps / total_steps, 1)
        cosine     end + (start - end) * (1 + cos(pi * x)) / 2
        points     start * factor, which is linear from each point to the next, and constant before the first one
                   and after the last one

    Args:
        kind: ``constant``, ``linear``, ``cosine``, or points.
        start: value at step 0; with points, what the factors are of.
        env_steps, total_steps: where the run is, and where it ends.
        end: value at its end, of ``linear`` and ``cosine``.

    Raises:
        ValueError: the kind is unknown.

    Source of cosine: Loshchilov & Hutter 2017 (SGDR), eq. 5.
    """
    left = 1.0 - min(env_steps / total_steps, 1.0)
    if kind == "constant":
        return start
    if kind == "linear":
        return end + (start - end) * left
    if kind == "cosine":
        return end + (start - end) * 0.5 * (1.0 - math.cos(math.pi * left))
    if isinstance(kind, str):
        raise ValueError(f"unknown schedule {kind!r}")
    return start * interpolated(kind, min(env_steps / total_steps, 1.0))


def interpolated(points: Points, at: float) -> float:
    """The factor at a fraction of the run: linear between points, constant outside them."""
    for (left, low), (right, high) in itertools.pairwise(points):
        if left <= at < right:
            return low + (high - low) * (at - left) / (right - left)
    return points[0][1] if at < points[0][0] else points[-1][1]
