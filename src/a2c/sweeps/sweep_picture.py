"""One picture of a sweep: the score of every trial over what was varied."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from optuna.trial import FrozenTrial, TrialState

from a2c.run.showing.style import BLUE, GREY, ORANGE, new_figure, save, tidy
from a2c.sweeps.search import typed
from a2c.sweeps.sweep_file import Parameter, Sweep

COLUMNS = 3


def draw_sweep(study: optuna.Study, sweep: Sweep, path: Path) -> Path:
    """Draw scores over trials, with the best so far, and over the values of each parameter; returns ``path``."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    panels = 1 + len(sweep.parameters)
    columns = min(COLUMNS, panels)
    rows = math.ceil(panels / columns)
    figure = new_figure(3.6 * columns, 2.8 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    _over_trials(axes[0], trials, sweep)
    for panel, (name, parameter) in zip(axes[1:], sweep.parameters.items(), strict=False):
        _over_values(panel, trials, name, parameter)
    for panel in axes[panels:]:
        panel.set_axis_off()
    return save(figure, path)


def _over_trials(axes: Axes, trials: list[FrozenTrial], sweep: Sweep) -> None:
    tidy(axes)
    scores = np.array([trial.value for trial in trials], dtype=np.float64)
    numbers = [trial.number for trial in trials]
    axes.scatter(numbers, scores, color=BLUE, s=14)
    better = np.maximum if sweep.maximize else np.minimum
    axes.step(numbers, better.accumulate(scores) if len(scores) else scores, color=ORANGE, where="post", label="best")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial", fontsize=9)
    axes.set_ylabel("score", fontsize=9)
    if trials:
        axes.legend(fontsize=8, frameon=False, loc="best")


def _over_values(axes: Axes, trials: list[FrozenTrial], name: str, parameter: Parameter) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, color=GREY)
    scores = np.array([trial.value for trial in trials], dtype=np.float64)
    if parameter.choices:
        places = {value: place for place, value in enumerate(parameter.choices)}
        axes.scatter([places[typed(trial)[name]] for trial in trials], scores, color=BLUE, s=14)
        axes.set_xticks(list(places.values()), list(places))
        axes.set_xlim(-0.5, len(places) - 0.5)
    else:
        axes.scatter([trial.params[name] for trial in trials], scores, color=BLUE, s=14)
        axes.set_xscale("log" if parameter.log else "linear")
        axes.set_xlim(parameter.low, parameter.high)
    axes.set_xlabel(name, fontsize=9)
