"""What figures of several claims share."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from a2c.study.measures.gradients import mean_interval


def scores_at(axes: Axes, place: float, scores: ArrayLike, colour: str) -> None:
    """Draw the scores ``[S]`` of a group of runs as dots, and their mean with Student's t interval."""
    values = np.asarray(scores, dtype=np.float64)
    found = mean_interval(values)
    axes.scatter(place + np.linspace(-0.12, 0.12, len(values)), values, s=12, color=colour, alpha=0.5, linewidth=0)
    reach = [[found.value - found.low], [found.high - found.value]]
    axes.errorbar(place, found.value, reach, color=colour, fmt="o", markersize=5, capsize=3)
