"""What ranks cost, by turns: who takes part, and the ratio that comes of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

import rank_speed
from processes import MeasurementError
from quiet import Quiet
from rank_speed import WORKS, Crew, compared

CREWS = (Crew(()), Crew(()))


def test_both_sides_do_as_much_work():
    for ranks, others in WORKS.values():
        count = [
            sum(int(text.removeprefix("num_envs=")) for text in crew.overrides if text.startswith("num_envs="))
            * crew.runs
            for crew in (ranks, others)
        ]
        assert count[0] == count[1] == 16
    assert "--nproc-per-node=2" in WORKS["pong"][0].command()
    assert WORKS["pong"][1].command() == [sys.executable, rank_speed.TAKER]


def test_a_ratio_is_held_against_what_was_measured_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Quiet, "look", lambda self: None)
    # ranks at 8 and 18, on average (of logarithms) 12, against 24
    monkeypatch.setattr(rank_speed, "measured", lambda *_: {"ranks": 8.0, "others": 24.0, "ranks again": 18.0})
    found = compared(CREWS, 0.5, width=0.04, most=40, quiet=Quiet())
    assert found["rounds"] == rank_speed.LEAST  # the interval has no width
    assert found["ranks / others"]["mean"] == pytest.approx(0.5)
    assert found["ranks / ranks"]["mean"] == pytest.approx(2.25)
    assert found["median steps per second"] == {"ranks": 8.0, "others": 24.0, "ranks again": 18.0}


def test_rounds_end_where_the_interval_stays_wide_or_a_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Quiet, "look", lambda self: None)
    speeds = iter(range(1, 100))

    def wide(*_: Any) -> dict[str, float]:
        one = float(next(speeds))
        return {"ranks": one, "others": 10.0, "ranks again": one}

    monkeypatch.setattr(rank_speed, "measured", wide)
    assert compared(CREWS, 0.5, width=0.04, most=8, quiet=Quiet())["rounds"] == 8

    def failing(*_: Any) -> dict[str, float]:
        raise MeasurementError("no such environment")

    monkeypatch.setattr(rank_speed, "measured", failing)
    assert compared(CREWS, 0.5, width=0.04, most=8, quiet=Quiet()) == {"failed": "no such environment"}
