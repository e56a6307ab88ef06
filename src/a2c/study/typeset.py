"""Turns the text of claims into markup: escapes everything, sets formulas and numbers as in print."""

from __future__ import annotations

import math
import re

from markupsafe import Markup, escape

# In a formula: the sign of an index or a power and what it moves, a word, or any other character.
_TOKEN = re.compile(r"([_^])(?=\{|[^\W_](?![^\W_])|[∞*′])|[A-Za-z]+(?:_[A-Za-z]{2,})*|.")
# In a sentence: code, or a letter with an index or a power.
_INLINE = re.compile(r"`([^`]+)`|(?<!\w)[A-Za-zα-ω](?:[_^](?:\{[^{}]*\}|[^\W_](?![^\W_])))+")
_SLANTED = re.compile(r"[A-Za-zα-ωϑϕϵ]")
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def inline(text: str) -> Markup:
    """A line of text; code between backticks, and letters with an index or a power set as in a formula."""
    shown, at = Markup(), 0
    for found in _INLINE.finditer(text):
        shown += escape(text[at : found.start()])
        shown += Markup("<code>{}</code>").format(found[1]) if found[1] else equation(found[0])
        at = found.end()
    return shown + escape(text[at:])


def paragraphs(text: str) -> Markup:
    """Paragraphs: ``text`` has empty lines between them."""
    parts = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
    return Markup("\n").join(Markup("<p>{}</p>").format(inline(part)) for part in parts)


def formula(text: str) -> Markup:
    """One equation a line, single letters slanted; ``x_t``, ``x_{t+1}``, ``x^2``, ``x^{n-1}`` lowered and raised."""
    lines = [line.strip() for line in text.splitlines()]
    return Markup("\n").join(Markup("<div>{}</div>").format(equation(line)) for line in lines if line)


def equation(text: str) -> Markup:
    """One line of a formula."""
    shown, at = Markup(), 0
    while found := _TOKEN.match(text, at):
        token, at = found[0], found.end()
        if found[1]:
            moved, at = _moved(text, at)
            shown += Markup("<sub>{}</sub>" if token == "_" else "<sup>{}</sup>").format(equation(moved))
        else:
            shown += Markup("<i>{}</i>").format(token) if _SLANTED.fullmatch(token) else escape(token.replace("-", "−"))
    return shown


def _moved(text: str, start: int) -> tuple[str, int]:
    """What an index or power at ``start`` holds, braces matched, and where the text goes on."""
    if text[start] != "{":
        return text[start], start + 1
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start + 1 : at], at + 1
    return text[start + 1 :], len(text)


def number(value: float) -> str:
    """Three significant digits, thousands separated, a true minus: ``0.0123``, ``−1.5``, ``12,300``, ``1.2×10⁻⁷``."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 999.5:
        shown = f"{value:,.0f}"
    elif size >= 1e-4:
        shown = f"{value:.{max(0, 2 - math.floor(math.log10(size)))}f}"
        shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    elif size > 0:
        digits, power = f"{value:.1e}".split("e")
        shown = f"{digits}×10{str(int(power)).translate(_SUPERSCRIPTS)}"
    else:
        shown = "0"
    return shown.replace("-", "−", 1)
