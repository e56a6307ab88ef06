"""AC, A3C and A2C side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from a2c.settings.compose import load_config
from a2c.study.claim import Verdict
from a2c.study.claims import algorithms
from a2c.study.race import run
from a2c.study.settings import StudySettings


def runs(scores: list[float], seconds: float) -> list[dict[str, Any]]:
    """A run for each score: its return rises to it from 0, linearly over its seconds."""
    return [{"steps": [0, 100], "seconds": [0.0, seconds], "returns": [0.0, score], "score": score} for score in scores]


def setup(a3c: tuple[list[float], float], a2c: tuple[list[float], float]) -> dict[str, Any]:
    return {"AC": runs([1.0, 2.0, 3.0], 1.0), "A3C": runs(*a3c), "A2C": runs(*a2c)}


EQUAL = setup(([100.0, 101.0, 99.0], 10.0), ([101.0, 100.0, 100.0], 10.0))
QUICKER = setup(([100.0, 101.0, 99.0], 10.0), ([101.0, 100.0, 100.0], 5.0))  # A2C has done it when A3C is half way
SLOWER = setup(([100.0, 101.0, 99.0], 5.0), ([101.0, 100.0, 100.0], 10.0))
WORSE = setup(([100.0, 101.0, 99.0], 10.0), ([50.0, 52.0, 48.0], 10.0))


def test_differences_as_by_hand():
    found = algorithms.differences(QUICKER)
    by_steps, margin = found["steps"]
    assert by_steps.value == pytest.approx((1 - 1 + 1) / 3)
    assert margin == pytest.approx(0.1 * 301 / 3)
    by_time, _ = found["time"]  # after 5 seconds: 101, 100, 100 against half of 100, 101, 99
    assert by_time.value == pytest.approx((51 + 49.5 + 50.5) / 3)


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        ({"one": EQUAL, "two": QUICKER}, Verdict.SUPPORTED),
        ({"one": EQUAL, "two": WORSE}, Verdict.CONDITIONAL),
        ({"one": SLOWER}, Verdict.CONDITIONAL),  # as good in steps, not in time
        ({"one": WORSE}, Verdict.NOT_SUPPORTED),
        ({"one": setup(([0.0, 200.0], 1.0), ([200.0, 0.0], 1.0))}, Verdict.NOT_SUPPORTED),  # anything is possible
    ],
    ids=["as good", "on one environment", "slower", "worse", "undecided"],
)
def test_every_verdict_can_come_out(data: dict[str, Any], verdict: Verdict):
    judgement = algorithms.judge(data)
    assert judgement.verdict is verdict
    assert len(judgement.numbers) == 5 * len(data)


def test_a_run_looks_at_equal_distances_and_times_training_alone():
    for algo in ("algo=a2c", "algo=a3c"):
        cfg = load_config(
            "env=cartpole_study", algo, "num_envs=1", "num_workers=2", "vectorization=sync", "total_steps=800"
        )
        found = run(cfg, 4)
        assert len(found.returns) == len(found.seconds) == len(found.steps) == 4
        assert [steps // 200 for steps in found.steps] == [1, 2, 3, 4]
        assert np.all(np.diff(found.seconds) > 0)
        assert found.score > 0


@pytest.mark.long
@pytest.mark.slow
def test_it_measures_judges_and_draws():
    data = algorithms.measure(StudySettings(claims=[], seeds=2, scale=0.03, seed=3, jobs=1, folder="unused"))
    assert {name: set(setup) for name, setup in data.items()} == {
        name: {"AC", "A3C", "A2C"} for name in ("CartPole", "Dead end")
    }
    assert algorithms.judge(data).numbers
    assert isinstance(algorithms.draw(data), Figure)
