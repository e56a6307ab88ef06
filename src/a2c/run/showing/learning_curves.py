"""One picture of a benchmark: a panel for each environment, with the interquartile mean over seeds and its band."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from a2c.run.showing.style import BLUE, GREEN, GREY, ORANGE, new_figure, save, tidy
from a2c.run.statistics import iqm_band


class LearningCurve(TypedDict):
    """The scores of all seeds on one environment, and the lines to compare them with; None draws no line."""

    env_steps: ArrayLike  # [P] env steps of the scores, the same for every seed
    scores: ArrayLike  # [R, P] score of each of R seeds
    floor: float | None  # what must be reached
    aim: float | None  # what we hope for
    known: tuple[str, float] | None  # what others publish, or the best there is: its name and score


def draw_learning_curves(curves: Mapping[str, LearningCurve], path: Path, *, columns: int = 3) -> Path:
    """Draw a grid of learning curves with 95 % stratified-bootstrap bands and return its path.

    Args:
        curves: one for each panel, by the panel's title.
        path: PNG file to write.
        columns: most panels in a row.

    Raises:
        ValueError: there are no curves, or scores do not match their steps.
    """
    if not curves:
        raise ValueError("there are no learning curves to draw")
    columns = min(columns, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = new_figure(4.4 * columns, 3.2 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (title, curve) in zip(panels, curves.items(), strict=False):
        _panel(axes, title, curve)
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    return save(figure, path)


def align(runs: Sequence[tuple[ArrayLike, ArrayLike]], steps: ArrayLike) -> np.ndarray:
    """Scores of runs at common steps, where each was measured at its own steps.

    Each run holds a score until its next one, and its first score from the start. Nothing is interpolated, so every
    score that appears was measured.

    Args:
        runs: for each of R runs, its steps (ascending) and its scores.
        steps: ``[P]`` common steps.

    Returns:
        ``[R, P]`` float64.
    """
    aligned = []
    for measured, scores in runs:
        index = np.searchsorted(np.asarray(measured), np.asarray(steps), side="right") - 1
        aligned.append(np.asarray(scores, dtype=np.float64)[np.maximum(index, 0)])
    return np.stack(aligned)


def _panel(axes: Axes, title: str, curve: LearningCurve) -> None:
    steps, scores = np.asarray(curve["env_steps"]), np.asarray(curve["scores"], dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] != len(steps):
        raise ValueError(f"{title}: scores of shape {scores.shape} do not match {len(steps)} steps")
    middle, low, high = iqm_band(scores)
    tidy(axes)
    axes.plot(steps, scores.T, color=BLUE, linewidth=0.5, alpha=0.25)
    axes.fill_between(steps, low, high, color=BLUE, alpha=0.2, linewidth=0)
    label = f"a2c, {len(scores)} seed{'s' if len(scores) > 1 else ''}"
    axes.plot(steps, middle, color=BLUE, linewidth=1.8, label=label)
    known, known_score = curve["known"] or ("", None)
    for value, name, colour, dashes in (
        (curve["floor"], "floor", GREY, (1, 1)),
        (curve["aim"], "aim", GREEN, (4, 2)),
        (known_score, known, ORANGE, (6, 2, 1, 2)),
    ):
        if value is not None:
            axes.axhline(value, color=colour, linewidth=1.1, dashes=dashes, label=f"{name} {value:g}")
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("environment steps", fontsize=9)
    axes.set_ylabel("score", fontsize=9)
    axes.legend(fontsize=7.5, frameon=False, loc="best")
