"""The pictures of a sweep: scores over trials, over the values of each setting, and what each setting decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from optuna.trial import FrozenTrial, TrialState

from a2c.run.showing.inline_svg import BLUE, INK, LINE, ORANGE, SOFT, inline_svg, page_figure
from a2c.sweeps.search import typed
from a2c.sweeps.sweep_file import Parameter

SMALL = 8.5  # points of what is written at an axis
ASIDE = (0, 1, -1, 2, -2)  # widths of a dot that those of a choice stand beside it


@dataclass(frozen=True, slots=True)
class Scored:
    """A trial with a score to draw.

    Attributes:
        number: of the trial.
        values: as one types them, by setting.
        score: of its runs; where it ended early, its last evaluation.
        done: it was trained to its end.
    """

    number: int
    values: dict[str, str]
    score: float
    done: bool


def scored(trials: Sequence[FrozenTrial]) -> list[Scored]:
    """The trials that have a score, by number."""
    found = []
    for trial in trials:
        if trial.state is TrialState.COMPLETE and trial.value is not None:
            found.append(Scored(trial.number, typed(trial), trial.value, True))
        elif trial.state is TrialState.PRUNED and trial.intermediate_values:
            last = trial.intermediate_values[max(trial.intermediate_values)]
            found.append(Scored(trial.number, typed(trial), last, False))
    return found


def draw_history(trials: Sequence[Scored], *, maximize: bool) -> str:
    """Scores over trials, with the best so far; those that ended early are crosses."""
    figure = page_figure(7.6, 2.9)
    axes = figure.subplots()
    _tidy(axes)
    done, early = [trial for trial in trials if trial.done], [trial for trial in trials if not trial.done]
    best = (np.maximum if maximize else np.minimum).accumulate(np.array([trial.score for trial in done]))
    numbers = [trial.number for trial in done]
    axes.step(numbers, best, color=ORANGE, where="post", label="best so far", zorder=1)
    hints = {}
    for trial in done:  # each by itself: a pointer over it shows what it is
        gid = f"dot{trial.number}"
        axes.scatter([trial.number], [trial.score], color=BLUE, s=15).set_gid(gid)
        hints[gid] = hint_of(trial)
    axes.scatter([], [], color=BLUE, s=15, label="trial")
    if early:
        places = [trial.number for trial in early]
        axes.scatter(places, [trial.score for trial in early], color=SOFT, marker="x", s=16, label="ended early")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial", fontsize=SMALL, color=INK)
    axes.set_ylabel("score", fontsize=SMALL, color=INK)
    figure.legend(fontsize=SMALL, frameon=False, loc="outside upper left", ncols=3, labelcolor=INK)
    return inline_svg(figure, "history", "scores over trials, with the best so far", hints)


def draw_slice(trials: Sequence[Scored], name: str, parameter: Parameter, place: int, leader: int | None) -> str:
    """Scores of trials that are done over the values of one setting.

    Args:
        trials: with scores.
        name: of the setting.
        parameter: its values.
        place: of the setting among all; it names the picture.
        leader: number of the best trial.
    """
    figure = page_figure(2.7, 2.3)
    axes = figure.subplots()
    _tidy(axes)
    done = [trial for trial in trials if trial.done]
    if parameter.choices:
        places = {value: float(at) for at, value in enumerate(parameter.choices)}
        crowd: dict[str, int] = {}
        at = []
        for trial in done:  # side by side, so that equal scores are not one dot
            value = trial.values[name]
            crowd[value] = crowd.get(value, -1) + 1
            at.append(places[value] + 0.09 * ASIDE[crowd[value] % len(ASIDE)])
        axes.set_xticks(list(places.values()), [shortened(value, 44 // len(places)) for value in places])
        axes.set_xlim(-0.5, len(places) - 0.5)
    else:
        at = [float(trial.values[name]) for trial in done]
        _range_axis(axes, parameter, ends_of(parameter, at))
    axes.scatter(at, [trial.score for trial in done], color=BLUE, s=15)
    for across, trial in zip(at, done, strict=True):
        if trial.number == leader:
            axes.scatter([across], [trial.score], color=ORANGE, s=34, zorder=3)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_title(shortened(name, 30), fontsize=9.5, color=INK)
    return inline_svg(figure, f"slice{place}", f"scores over {name}")


def draw_importance(shares: Mapping[str, float]) -> str:
    """A bar for each setting."""
    figure = page_figure(7.6, 0.45 + 0.26 * len(shares))
    axes = figure.subplots()
    _tidy(axes)
    axes.grid(visible=False, axis="y")
    names, places = list(shares), range(len(shares))
    axes.barh(places, list(shares.values()), color=BLUE, height=0.6)
    for place, share in zip(places, shares.values(), strict=True):
        axes.annotate(f"{share:.0%}", (share, place), xytext=(4, 0), textcoords="offset points", va="center",
                      fontsize=SMALL, color=INK)  # fmt: skip
    axes.set_yticks(places, [shortened(name, 40) for name in names], color=INK)
    axes.invert_yaxis()
    axes.set_xlim(0, max(0.01, *shares.values()) * 1.12)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return inline_svg(figure, "importance", f"importance: {told}")


def shortened(text: str, most: int) -> str:
    """At most so many characters, with an ellipsis where some are left out; a dollar sign is no formula."""
    return (text if len(text) <= most else f"{text[: max(1, most - 1)]}…").replace("$", r"\$")


def ends_of(parameter: Parameter, values: Sequence[float]) -> tuple[float, float]:
    """The ends of the axis of a range; of one without ends, those of its values."""
    if parameter.low < parameter.high:
        return parameter.low, parameter.high
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def hint_of(trial: Scored) -> str:
    """What a pointer over a trial shows."""
    values = " ".join(f"{name}={value}" for name, value in trial.values.items())
    return f"trial {trial.number}: {trial.score:.4g}{'' if trial.done else ' (ended early)'}\n{values}"


def _tidy(axes: Axes) -> None:
    axes.patch.set_alpha(0.0)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(SOFT)
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, color=SOFT, labelcolor=SOFT)


def _range_axis(axes: Axes, parameter: Parameter, ends: tuple[float, float]) -> None:
    low, high = ends
    axes.set_xscale("log" if parameter.log else "linear")
    axes.margins(x=0.05)
    axes.update_datalim([(low, 0), (high, 0)], updatey=False)
    axes.autoscale_view(scaley=False)
    if parameter.log:
        axes.set_xticks([low, (low * high) ** 0.5, high])
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=parameter.whole))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}" if parameter.log else f"{value:.4g}"))
