"""The scaling results as one picture: a column for each thing that varies, a row for each cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from a2c.run.showing.style import BLUE, GREEN, GREY, ORANGE, new_figure, save, steps_label, tidy

TITLES = {"num_envs": "environments N", "n_step": "rollout length n_step", "hidden": "weights of the network"}
HEIGHT = 2.3  # inches of a row of panels
FEW = 4  # sizes that fit as labels of their own


def draw(results: dict[str, Any], path: Path) -> Path:
    """Draw steps per second, the overhead of a lockstep step and peak memory against every size."""
    axes = {axis: found for axis, found in results["axes"].items() if len(found["points"]) > 1}
    figure = new_figure(3.7 * len(axes), 3 * HEIGHT)
    panels = figure.subplots(3, len(axes), squeeze=False, sharey="row", sharex="col")
    for column, (axis, found) in enumerate(axes.items()):
        points = list(found["points"].values())
        sizes = [float(size) for size in found["points"]]
        if axis == "hidden":
            sizes = [float(point["weights"]) for point in points]
        speed, overhead, memory = panels[:, column]
        _line(speed, sizes, points, "steps_per_second", BLUE, None)
        _line(overhead, sizes, points, "overhead_us_per_step", BLUE, "a lockstep step")
        _line(overhead, sizes, points, "overhead_us_per_env_step", ORANGE, "an environment's step")
        on_gpu = points[0]["peak_gpu_mb"] is not None
        _line(memory, sizes, points, "peak_gpu_mb" if on_gpu else "peak_rss_mb", GREEN, None)
        memory.set_yscale("linear")
        memory.set_ylim(0, memory.get_ylim()[1] * 1.1)
        growth = found["growth"]
        _note(overhead, "an update", growth["overhead"])
        _note(memory, "memory", growth["memory"])
        memory.set_xlabel(TITLES[axis], fontsize=10)
        if len(sizes) <= FEW:
            memory.set_xticks(sizes, [f"{size:g}" for size in sizes])
    for panel, label in zip(panels[:, 0], ("steps/s", "overhead, µs", "peak memory, MB"), strict=True):
        panel.set_ylabel(label, fontsize=9)
    panels[1, 0].legend(fontsize=8, frameon=False, loc="lower left")
    return save(figure, path)


def _line(
    axes: Axes, sizes: list[float], points: list[dict[str, Any]], key: str, color: str, label: str | None
) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    tidy(axes)
    axes.yaxis.set_major_formatter(lambda value, _: steps_label(value))
    axes.minorticks_off()
    axes.plot(sizes, [point[key] for point in points], color=color, marker="o", markersize=3.5, label=label)


def _note(axes: Axes, what: str, slope: dict[str, float]) -> None:
    text = f"{what} $\\propto$ size$^{{{slope['slope']:.2f}}}$, in the end size$^{{{slope['slope_of_large']:.2f}}}$"
    axes.set_title(text, fontsize=8.5, color=GREY, loc="left")
