"""The report: whole in one file, everything in it, nothing that was written is taken for markup."""

from __future__ import annotations

import base64
import dataclasses
import re
from html.parser import HTMLParser

import pytest

from a2c.study.claim import Judgement, Number, Verdict
from a2c.study.page import Entry, page
from a2c.study.record import Record
from a2c.study.typeset import equation, formula, inline, number, paragraphs

from .stubs import stub

PNG = b"\x89PNG made up"
EVIL = "<script>alert('x')</script> & \"quoted\""
MACHINE = {
    "cpu": "Fast 1",
    "cores": 2,
    "gpu": None,
    "system": "Linux x86_64",
    "versions": {"a2c": "1.2.3", "torch": "4.5"},
}


def record(key: str, verdict: Verdict = Verdict.SUPPORTED, why: str = "It did.", **changes: object) -> Record:
    numbers = [Number("slope", -0.5, -1.25, 0.25), Number("count", 12345.0)]
    made = Record(
        key=key,
        data={},
        judgement=Judgement(verdict, why, numbers),
        settings={"seeds": 5, "scale": 1.0, "seed": 0},
        seconds=61.0,
        finished="2026-01-02T03:04:05+00:00",
        machine=MACHINE,
    )
    return dataclasses.replace(made, **changes)


def entries() -> list[Entry]:
    """One claim of every verdict, and one that was not measured."""
    keys = dict(zip(("one", "two", "three"), Verdict, strict=True))
    measured = [Entry(stub(key), record(key, verdict), PNG) for key, verdict in keys.items()]
    return [*measured, Entry(stub("four"), None, None)]


class Reader(HTMLParser):
    """Notes every tag and attribute, and complains of tags that do not match."""

    VOID = ("meta", "link", "img", "br", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_one_well_formed_file_that_asks_for_nothing_else():
    text = page(entries())
    tags = Reader(text).tags
    for tag, attributes in tags:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset", "data", "action"):
            assert re.match(r"data:|#", attributes.get(name) or "#"), attributes
    assert not re.search(r"url\(|@import|http", re.sub(r"<body>.*", "", text, flags=re.DOTALL))
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for tag, attributes in tags if tag == "a"}
    assert links == {"#one", "#two", "#three", "#four"}
    assert links <= {f"#{name}" for name in ids}


def test_it_reads_on_a_phone_and_in_the_dark():
    text = page(entries())
    assert 'name="viewport" content="width=device-width' in text
    assert "@media (prefers-color-scheme: dark)" in text
    assert '<html lang="en">' in text


def test_every_claim_is_in_it_with_its_verdict_numbers_and_figure():
    text = page(entries())
    for key in ("one", "two", "three", "four"):
        assert text.count(f"The title of {key}</") == 2  # in the summary and over its section
        assert f"What {key} says." in text
    for verdict in Verdict:
        assert f"{verdict.value}</span>" in text
    assert text.count("<td>slope</td><td>−0.5</td><td> [−1.25, 0.25]</td>") == 3
    assert text.count("<td>count</td><td>12,345</td><td>exact</td>") == 3
    images = [attributes for tag, attributes in Reader(text).tags if tag == "img"]
    assert [base64.b64decode(image["src"].partition("base64,")[2]) for image in images] == [PNG] * 3
    assert images[0]["alt"] == "The title of one: supported. slope −0.5 [−1.25, 0.25]; count 12,345"
    assert "<p>First paragraph.</p>\n<p>Second paragraph.</p>" in text
    assert "<code>a2c/maths/returns.py</code>: <code>lambda_returns</code>" in text
    assert "Measured on 2026-01-02 with 5 seeds from 0, scale 1, in 1m01s." in text


def test_what_was_not_measured_says_so_and_how_to():
    text = page([Entry(stub("four"), None, None)])
    assert "– not measured" in text
    assert "<code>make study claims=[four]</code>" in text
    assert "<img" not in text


def test_it_says_on_what_it_was_measured_and_how_to_repeat_it():
    other = {**MACHINE, "cpu": "Slow 2", "gpu": "Hot 3"}
    records = [
        record("one"),
        record("two", settings={"seeds": 9, "scale": 0.5, "seed": 3}, finished="2026-02-03T00:00:00+00:00"),
        record("three", machine=other),
    ]
    text = page([Entry(stub(made.key), made, None) for made in records])
    assert "make study claims=[one,three] seeds=5 scale=1 seed=0<" in text
    assert "make study claims=[two] seeds=9 scale=0.5 seed=3<" in text
    assert "Measured on 2026-01-02 to 2026-02-03, in 3m03s." in text
    assert "<dt>claims</dt><dd>one, two</dd>\n<dt>processor</dt><dd>Fast 1, 2 cores</dd>" in text
    assert "<dd>Slow 2, 2 cores</dd>\n<dt>GPU</dt><dd>Hot 3</dd>" in text
    assert "a2c 1.2.3, torch 4.5" in text
    assert "make study seeds=5 scale=1 seed=0<" in page([Entry(stub("one"), record("one"), None)])  # all there are


def test_nothing_that_was_written_or_measured_is_taken_for_markup():
    claim = stub("one", title=EVIL, says=EVIL, formula=EVIL, method=EVIL, code=(EVIL, f"{EVIL}: {EVIL}"))
    judged = Judgement(Verdict.SUPPORTED, EVIL, [Number(EVIL, 1.0)])
    machine = {**MACHINE, "cpu": EVIL, "gpu": EVIL, "system": EVIL, "versions": {EVIL: EVIL}}
    text = page([Entry(claim, record("one", judgement=judged, machine=machine, finished=EVIL), PNG)])
    assert "script" not in {tag for tag, _ in Reader(text).tags}
    assert "<script" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("G_t", "<i>G</i><sub><i>t</i></sub>"),
        ("V(s_{t+1})", "<i>V</i>(<i>s</i><sub><i>t</i>+1</sub>)"),
        ("γ^{n-1}", "<i>γ</i><sup><i>n</i>−1</sup>"),
        ("x_{i_{k}}^2", "<i>x</i><sub><i>i</i><sub><i>k</i></sub></sub><sup>2</sup>"),
        ("tr Cov[g] < 1", "tr Cov[<i>g</i>] &lt; 1"),
        ("n_step", "n_step"),  # a name, not an index
        ("Σ_k a_", "Σ<sub><i>k</i></sub> <i>a</i>_"),
        ("x_{open", "<i>x</i><sub>open</sub>"),
    ],
)
def test_formulas_are_set(text, shown):
    assert equation(text) == shown


def test_a_formula_has_one_equation_a_line():
    assert formula("a = 1\n\n  b = 2 ") == "<div><i>a</i> = 1</div>\n<div><i>b</i> = 2</div>"


def test_paragraphs_are_parted_by_empty_lines_and_code_is_marked():
    assert paragraphs("one\ntwo\n \nthree") == "<p>one two</p>\n<p>three</p>"
    assert inline("`a < b_t` & c") == "<code>a &lt; b_t</code> &amp; c"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("its V^π(s) is", "its <i>V</i><sup><i>π</i></sup>(s) is"),
        ("a target G_t^{(n)}, a", "a target <i>G</i><sub><i>t</i></sub><sup>(<i>n</i>)</sup>, a"),
        ("n_step and gae_lambda stay, and a_name", "n_step and gae_lambda stay, and a_name"),
    ],
)
def test_sentences_may_hold_symbols(text, shown):
    assert inline(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (0.012345, "0.0123"),
        (-1.5, "−1.5"),
        (123.456, "123"),
        (999.7, "1,000"),
        (-12345.6, "−12,346"),
        (1.23e-7, "1.2×10⁻⁷"),
        (-1.23e-7, "−1.2×10⁻⁷"),
        (100.0, "100"),
        (float("nan"), "–"),
    ],
)
def test_numbers_are_set(value, shown):
    assert number(value) == shown
