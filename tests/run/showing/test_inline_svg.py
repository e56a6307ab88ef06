"""A figure inside a page: no address, no script, the page's colours, and text that stays text."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from a2c.run.showing.inline_svg import BLUE, INK, inline_svg, page_figure


def figure(text: str = "plain") -> Figure:
    made = page_figure(3, 2)
    axes = made.subplots()
    axes.plot([0, 1], [0, 1], color=BLUE, gid="line7")
    axes.set_title(text, color=INK)
    return made


def test_it_is_one_element_without_addresses_styles_or_scripts():
    text = inline_svg(figure(), "one", "a line")
    root = ElementTree.fromstring(text)
    assert root.tag == "svg"
    assert root.attrib == {"viewBox": "0 0 216 144", "role": "img", "aria-label": "a line"}
    assert not {element.tag for element in root.iter()} & {"style", "script", "metadata", "image"}
    assert "http" not in text
    assert not re.search(r"url\((?!#one-)", text)


def test_colours_are_those_of_the_page_and_nothing_else_is_touched():
    text = inline_svg(figure(f"the colour {BLUE}"), "one", "a line")
    assert "stroke: var(--blue)" in text
    assert "fill: var(--ink)" in text
    assert f"the colour {BLUE}" in text  # a text is no style
    assert BLUE not in text.replace(f"the colour {BLUE}", "")


def test_what_is_written_is_escaped_and_stays_text():
    text = inline_svg(figure("<b>&'\""), "one", "<i>\"'&", {"line7": "<u>&"})
    root = ElementTree.fromstring(text)
    assert root.attrib["aria-label"] == "<i>\"'&"
    assert [element.text for element in root.iter("title")] == ["<u>&"]
    assert "<b>&'\"" in [element.text for element in root.iter("text")]
    assert not [element for element in root.iter() if element.tag in ("b", "i", "u")]


def test_the_ids_of_two_figures_differ_and_equal_figures_are_equal():
    def ids(name: str) -> set[str]:
        root = ElementTree.fromstring(inline_svg(figure(), name, ""))
        return {element.attrib["id"] for element in root.iter() if "id" in element.attrib}

    assert ids("one")
    assert not ids("one") & ids("two")
    assert inline_svg(figure(), "one", "") == inline_svg(figure(), "one", "")


@pytest.mark.parametrize("gid", ["line8", ""])
def test_a_hint_for_nothing_changes_nothing(gid: str):
    assert inline_svg(figure(), "one", "", {gid: "?"}) == inline_svg(figure(), "one", "")
