"""Every test that the matrix in docs/reliability.md names is there, and no fault is missing."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
ROW = re.compile(r"^\| (\d+) \|.*?\| (?:\[[\w/]+\]\(\.\./tests/([\w/]+\.py)\): (\w+)|[^|]*) \|[^|]*\|$", re.MULTILINE)
FAULTS = 91


def test_the_tests_that_the_matrix_names_are_there() -> None:
    matrix = (TESTS.parent / "docs" / "reliability.md").read_text().partition("## The matrix")[2]
    rows = ROW.findall(matrix)
    assert [int(number) for number, _, _ in rows] == list(range(1, FAULTS + 1))
    named = [(file, test) for _, file, test in rows if file]
    assert len(named) > FAULTS - 10
    for file, test in named:
        assert f"def test_{test}(" in (TESTS / file).read_text(), (file, test)
