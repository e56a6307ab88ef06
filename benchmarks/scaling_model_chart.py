"""The prediction of scaling_model.py as one picture: efficiency against the number of ranks, weak and strong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from a2c.run.showing.style import BLUE, GREEN, GREY, ORANGE, RED, new_figure, save, tidy

COLORS = (BLUE, ORANGE, GREEN, RED)
TITLES = {"weak": "each rank keeps its environments", "strong": "the ranks share 1024 environments"}


def draw(results: dict[str, Any], others: Mapping[str, tuple[int, float]], path: Path) -> Path:
    """Draw both; ``others`` has ranks and efficiency of systems that were measured."""
    figure = new_figure(9.6, 4.0)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (kind, title) in zip(panels, TITLES.items(), strict=True):
        tidy(axes)
        axes.set_xscale("log", base=2)
        axes.set_title(f"{kind} scaling: {title}", fontsize=10, loc="left")
        for (name, row), color in zip(results[kind].items(), COLORS, strict=True):
            ranks = [int(rank) for rank in row]
            axes.plot(ranks, list(row.values()), color=color, marker="o", markersize=3.5, label=name)
        axes.set_xticks(ranks, [str(rank) for rank in ranks])
        axes.set_xlabel("ranks", fontsize=10)
        axes.set_ylim(0, 1.08)
    for marker, (name, (ranks_of, value)) in zip("*D", others.items(), strict=True):
        panels[0].plot(
            [ranks_of], [value], color=GREY, marker=marker, linestyle="", markersize=8, label=f"{name}, measured"
        )
    panels[0].set_ylabel("efficiency (predicted)", fontsize=9)
    panels[0].legend(fontsize=8, frameon=False, loc="lower left")
    return save(figure, path)
