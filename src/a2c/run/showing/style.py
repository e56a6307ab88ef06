"""One look for every plot. Figures are made without pyplot, which would keep them in global state."""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from a2c.storage.atomic import replacing

# The same run draws the same bytes: no date, nor the version of what drew it.
_NO_DATE: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None},
}

BLUE, ORANGE, GREEN, GREY, RED = "#1f6fb4", "#e07b00", "#2a8c4a", "#777777", "#c0392b"


def new_figure(width: float, height: float, *, dpi: int = 130) -> Figure:
    """An Agg figure of width x height inches, on white, without pyplot; ``dpi`` is for a screen unless given."""
    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes) -> None:
    """Give axes that look: two spines, a faint grid, steps as 50k and 1.5M."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, color=GREY)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: steps_label(value)))


def steps_label(value: float) -> str:
    """A number of steps as ``0``, ``50k`` or ``1.5M``."""
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"


def save(figure: Figure, path: Path) -> Path:
    """Write a picture so that a reader never sees half of it; returns ``path``.

    Args:
        figure: what to write.
        path: ends in .png, .pdf or .svg; without an ending it is a PNG.
    """
    kind = path.suffix.removeprefix(".") or "png"
    # Fonts that journals take, and ids that stay.
    with replacing(path) as temporary, rc_context({"pdf.fonttype": 42, "svg.hashsalt": "a2c"}):
        figure.savefig(temporary, format=kind, metadata=_NO_DATE[kind])
    return path
