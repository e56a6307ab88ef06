"""Trials as lines from setting to setting and on to their score: which combinations were good."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from a2c.run.showing.inline_svg import BLUE, CARD, INK, ORANGE, SOFT, inline_svg, page_figure
from a2c.sweeps.sweep_file import Parameter
from a2c.sweeps.sweep_picture import SMALL, Scored, ends_of, hint_of, shortened

SPREAD = 0.5  # share of the room of a choice over which its lines are spread


def draw_parallel(trials: Sequence[Scored], parameters: Mapping[str, Parameter], *, maximize: bool) -> str:
    """A line for each trial that is done, through an axis for each setting, to its score on the right.

    The best trial is orange, the best quarter blue, the others faint.

    Args:
        trials: with scores.
        parameters: the settings that vary, by name.
        maximize: whether more is better; the better end of the score is above.
    """
    done = sorted((trial for trial in trials if trial.done), key=lambda trial: trial.score, reverse=not maximize)
    heights = np.stack(
        [
            *(_heights([trial.values[name] for trial in done], parameter) for name, parameter in parameters.items()),
            _score_heights([trial.score for trial in done], maximize=maximize),
        ],
        axis=1,
    )  # [trials, axes] in [0, 1]
    figure = page_figure(7.6, 3.6)
    axes = figure.subplots()
    axes.set_axis_off()
    hints = {}
    for place, trial in enumerate(done):  # the best last, on top
        gid = f"line{trial.number}"
        colour, width, alpha = _look(len(done) - 1 - place, len(done))
        axes.add_patch(
            PathPatch(_curve(heights[place]), fill=False, edgecolor=colour, linewidth=width, alpha=alpha, gid=gid)
        )
        hints[gid] = hint_of(trial)
    for place, (name, parameter) in enumerate(parameters.items()):
        _axis(axes, place, name, _ticks(parameter, [trial.values[name] for trial in done]))
    scores = [trial.score for trial in done]
    ends = (min(scores), max(scores)) if maximize else (max(scores), min(scores))
    _axis(axes, len(parameters), "score", {0.0: f"{ends[0]:.4g}", 1.0: f"{ends[1]:.4g}"})
    axes.set_xlim(-0.35, len(parameters) + 0.45)
    axes.set_ylim(-0.04, 1.22)
    return inline_svg(figure, "parallel", "trials as lines through their settings to their scores", hints)


def _look(rank: int, count: int) -> tuple[str, float, float]:
    """Colour, width and alpha of the line of a trial; rank 0 is the best."""
    if rank == 0:
        return ORANGE, 2.4, 1.0
    return (BLUE, 1.3, 0.9) if rank < max(2, count / 4) else (SOFT, 0.8, 0.35)


def _heights(values: Sequence[str], parameter: Parameter) -> np.ndarray:
    """Where values cross the axis of a setting, in [0, 1].

    Lines with the same choice are spread, in the order of the trials, so that they are not one line.
    """
    if not parameter.choices:
        numbers = [float(value) for value in values]
        ends = ends_of(parameter, numbers)
        return np.array([_scaled(value, ends, log=parameter.log) for value in numbers], dtype=np.float64)
    room = 1 / len(parameter.choices)
    heights = np.empty(len(values))
    for place, choice in enumerate(parameter.choices):
        same = [at for at, value in enumerate(values) if value == choice]
        offsets = np.linspace(-SPREAD / 2, SPREAD / 2, len(same)) if len(same) > 1 else np.zeros(len(same))
        heights[same] = room * (place + 0.5 + offsets)
    return heights


def _scaled(value: float, ends: tuple[float, float], *, log: bool) -> float:
    low, high = ends
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _score_heights(scores: Sequence[float], *, maximize: bool) -> np.ndarray:
    low, high = min(scores), max(scores)
    heights = (np.array(scores) - low) / (high - low) if high > low else np.full(len(scores), 0.5)
    return heights if maximize else 1 - heights


def _curve(heights: np.ndarray) -> Path:
    """A line that leaves and meets every axis at a right angle, so that the eye can follow it across."""
    points, codes = [(0.0, float(heights[0]))], [Path.MOVETO]
    for place, (left, right) in enumerate(itertools.pairwise(heights.tolist())):
        points += [(place + 1 / 3, left), (place + 2 / 3, right), (place + 1.0, right)]
        codes += [Path.CURVE4] * 3
    return Path(points, codes)


def _ticks(parameter: Parameter, values: Sequence[str]) -> dict[float, str]:
    """What stands at which height of the axis of a setting that has these values."""
    if parameter.choices:
        count = len(parameter.choices)
        return {(place + 0.5) / count: shortened(choice, 12) for place, choice in enumerate(parameter.choices)}
    ends = ends_of(parameter, [float(value) for value in values])
    marks = np.geomspace(*ends, 3) if parameter.log else np.linspace(*ends, 3)
    return {
        _scaled(mark, ends, log=parameter.log): f"{mark:.0f}" if parameter.whole else f"{mark:.2g}" for mark in marks
    }


def _axis(axes: Axes, place: int, name: str, ticks: Mapping[float, str]) -> None:
    axes.plot([place, place], [0, 1], color=SOFT, linewidth=1.0)
    level = 1.15 if place % 2 else 1.07  # long names side by side do not meet
    axes.text(place, level, shortened(name, 22), ha="center", va="center", fontsize=SMALL, color=INK, weight="bold")
    for height, label in ticks.items():
        axes.text(
            place + 0.04, height, label, ha="left", va="center", fontsize=SMALL, color=INK,
            bbox={"facecolor": CARD, "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
        )  # fmt: skip
