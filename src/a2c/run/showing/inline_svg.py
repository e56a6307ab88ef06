"""A figure as markup inside a page: it takes the page's colours, light and dark, and its text stays text."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# What to draw with. In the page each becomes the variable of page.css, so that a reader's eyes choose.
INK, SOFT, LINE, CARD, BLUE, ORANGE = "#1d2127", "#5b6470", "#e3e1dc", "#ffffff", "#1f6fb4", "#e07b00"
_VARIABLES = {INK: "--ink", SOFT: "--soft", LINE: "--line", CARD: "--card", BLUE: "--blue", ORANGE: "--orange"}
_STYLE = re.compile(r'style="([^"]*)"')
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_NAME = re.compile(r'(\bid="|url\(#|href="#)')
# Matplotlib's head of a file, what it says of itself, and a style that would hold for the whole page.
_OF_A_FILE = re.compile(
    r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->", re.DOTALL
)
_ROOT = re.compile(r"<svg[^>]*viewBox=\"([^\"]*)\"[^>]*>")


def page_figure(width: float, height: float) -> Figure:
    """A figure of width x height inches for a page: without a ground, with the page's colours to be drawn by."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    FigureCanvasAgg(figure)
    return figure


def inline_svg(figure: Figure, name: str, says: str, hints: Mapping[str, str] | None = None) -> Markup:
    """The figure as an ``<svg>`` element without address, style sheet or script; the same figure gives the same text.

    Args:
        figure: from :func:`page_figure`.
        name: stands before its ids; no two figures of a page have the same.
        says: what a reader hears who does not see it.
        hints: by the gid of an artist, what a pointer over it shows.
    """
    file = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "a2c"}):
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = _OF_A_FILE.sub("", file.getvalue()).replace("xlink:href", "href")
    text = _ROOT.sub(lambda found: f'<svg viewBox="{found[1]}" role="img" aria-label="{escape(says)}">', text, count=1)
    text = _STYLE.sub(lambda style: f'style="{_COLOUR.sub(_variable, style[1])}"', text)
    for gid, hint in (hints or {}).items():
        text = text.replace(f'<g id="{gid}">', f'<g id="{gid}"><title>{escape(hint)}</title>')
    text = _NAME.sub(lambda found: f"{found[1]}{name}-", text)
    return Markup("\n".join(line for line in text.splitlines() if line.strip()))  # all text in it is escaped by now


def _variable(colour: re.Match[str]) -> str:
    name = _VARIABLES.get(colour[0])
    return colour[0] if name is None else f"var({name})"
