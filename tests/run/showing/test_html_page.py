"""The page maker: what is text stays text, and a page needs nothing but itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from a2c.run.showing.html_page import inlined, render

TEMPLATE = """\
{% extends "page.html" %}
{% block title %}{{ name }}{% endblock %}
{% block body %}
<p title="{{ name }}">{{ name }}</p>
{{ made }}
{% endblock %}
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "mine.html"
    path.write_text(TEMPLATE, encoding="utf-8")
    return path


def test_text_is_escaped_and_markup_is_not(template: Path):
    text = render(template, name="\"<b>'&", made=Markup("<i>x</i>"))
    safe = "&#34;&lt;b&gt;&#39;&amp;"
    assert f'<p title="{safe}">{safe}</p>\n<i>x</i>\n' in text
    assert f"<title>{safe}</title>" in text


def test_what_is_not_given_is_an_error_and_no_gap(template: Path):
    with pytest.raises(UndefinedError, match="'made' is undefined"):
        render(template, name="x")


def test_a_page_holds_its_style_for_light_dark_phones_and_paper(template: Path):
    text = render(template, name="x", made="")
    head = text.partition("</head>")[0]
    for part in ("prefers-color-scheme: dark", "max-width: 34rem", "@media print", 'name="viewport"'):
        assert part in head
    assert "http" not in text
    assert "url(" not in text
    assert text.endswith("</html>\n")


def test_a_picture_is_in_its_address():
    assert inlined(b"\x00\xff") == "data:image/png;base64,AP8="
