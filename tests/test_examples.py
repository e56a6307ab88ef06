"""The examples of docs/extending.md run as they stand."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import LIGHT
from registrations import forget

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = ("own_network", "own_encoder", "own_memory")


@pytest.fixture(autouse=True)
def nothing_registered_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(ROOT / "examples")
    yield
    forget({"Seek-v0"}, set(NETWORKS))


@pytest.mark.parametrize("name", NETWORKS)
def test_an_example_of_a_network_trains_and_plays(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = importlib.import_module(name)
    summary = example.main(*LIGHT, "total_steps=100", "eval.max_steps=40", f"runs_dir={tmp_path}")
    assert summary.env_steps >= 100
    assert re.fullmatch(r"-?\d+\.\d+", capsys.readouterr().out.splitlines()[-1])
    assert name in sys.modules


def test_the_docs_name_every_example() -> None:
    text = (ROOT / "docs" / "extending.md").read_text()
    for path in (ROOT / "examples").glob("*.py"):
        assert path.name in text
