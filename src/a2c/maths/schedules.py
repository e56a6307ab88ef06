"""Coefficients that change over a run, computed from env steps alone."""

from __future__ import annotations

import math


def scheduled(kind: str, start: float, env_steps: int, total_steps: int) -> float:
    """Value of a coefficient after ``env_steps`` of ``total_steps``; clamped at the end.

    Args:
        kind: ``constant``; ``linear`` or ``cosine``: from ``start`` to 0.
        start: value at step 0.
        env_steps, total_steps: where the run is, and where it ends.

    Raises:
        ValueError: the kind is unknown.
    """
    left = 1.0 - min(env_steps / total_steps, 1.0)
    if kind == "constant":
        return start
    if kind == "linear":
        return start * left
    if kind == "cosine":
        return start * 0.5 * (1.0 - math.cos(math.pi * left))
    raise ValueError(f"unknown schedule {kind!r}")
