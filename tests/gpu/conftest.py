"""On a GPU nothing may fall back in silence, nor aloud: a notice is a failure."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from a2c.run.showing.console import Console

SLOWER = ("graph", "page-locked", "compiled")  # what every notice of a slower way speaks of


@pytest.fixture
def notices(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the test was told about slower ways; it takes out what it expects."""
    told: list[str] = []
    note = Console.note

    def noted(self: Console, text: str) -> None:
        told.append(text)
        note(self, text)

    monkeypatch.setattr(Console, "note", noted)
    caplog.set_level(logging.WARNING, "a2c")
    return told


@pytest.fixture(autouse=True)
def no_notice_of_a_slower_way(notices: list[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    told = notices + [record.getMessage() for record in caplog.get_records("call")]
    assert [text for text in told if any(word in text for word in SLOWER)] == []
