"""One picture of a comparison: a panel for each environment, in it a line with its band for each group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from a2c.run.comparing.comparison import Compared
from a2c.run.comparing.run_groups import shown
from a2c.run.comparing.score_curves import EVALUATIONS
from a2c.run.showing.style import GREY, new_figure, save, tidy

# Okabe and Ito's colours, which differ for every eye; dashes tell the lines apart where print has no colours.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#e69f00")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (5, 2, 1, 2)), (0, (3, 1, 1, 1, 1, 1)))
WITHIN = 6  # most lines whose legend stands inside the panel
COLUMNS = 3
FOR_PRINT = 220  # dots per inch


def draw_comparison(compared: Sequence[Compared], path: Path) -> Path:
    """Draw the learning curves of groups of runs: interquartile mean and 95 % bootstrap band over the runs of each.

    Args:
        compared: at least one group.
        path: the file to write, as in :func:`save`.

    Returns:
        ``path``.
    """
    envs = list(dict.fromkeys(each.group.env_id for each in compared))
    columns = min(COLUMNS, len(envs))
    rows = math.ceil(len(envs) / columns)
    most = max(sum(each.group.env_id == env for each in compared) for env in envs)
    width = 5.2 if len(envs) == 1 else 4.4
    figure = new_figure((width + (2.2 if most > WITHIN else 0)) * columns, 3.4 * rows, dpi=FOR_PRINT)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, env in zip(panels, envs, strict=False):
        _panel(axes, env, [each for each in compared if each.group.env_id == env])
    for axes in panels[len(envs) :]:
        axes.set_axis_off()
    return save(figure, path)


def _panel(axes: Axes, env: str, groups: Sequence[Compared]) -> None:
    tidy(axes)
    drawn = False
    for place, each in enumerate(groups):
        band = each.band
        if band is None:
            continue
        drawn = True
        colour = COLOURS[place % len(COLOURS)]
        count = len(each.group.counted)
        runs = f"{count} run{'s' * (count > 1)}"
        label = f"{each.group.label} ({runs})" if each.group.label else runs
        axes.fill_between(band.steps, band.low, band.high, color=colour, alpha=0.15, linewidth=0)
        mark = "o" if len(band.steps) == 1 else None  # a single point makes no line
        dashes = DASHES[place % len(DASHES)]
        axes.plot(
            band.steps, band.middle, color=colour, linestyle=dashes, linewidth=1.6, marker=mark, label=shown(label)
        )
    aim = groups[0].aim
    if aim is not None:
        axes.axhline(aim, color=GREY, linewidth=0.9, dashes=(6, 3), zorder=1)
        axes.annotate(
            f"{aim:g}", (1, aim), xycoords=("axes fraction", "data"), xytext=(2, 0), textcoords="offset points",
            color=GREY, fontsize=8, va="center",
        )  # fmt: skip
    if not drawn:
        axes.text(0.5, 0.5, "these runs have no scores in common", transform=axes.transAxes, ha="center", color=GREY)
    axes.set_title(shown(env), fontsize=11)
    axes.set_xlabel("environment steps", fontsize=10)
    axes.set_ylabel("score" if groups[0].metric == EVALUATIONS else "return of training episodes", fontsize=10)
    if drawn and len(groups) <= WITHIN:
        axes.legend(fontsize=8.5, frameon=False, loc="best")
    elif drawn:
        axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.06, 0.5))
