"""A coefficient is a function of env steps alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2c.maths.schedules import scheduled


@pytest.mark.parametrize(
    ("kind", "env_steps", "expected"),
    [
        ("constant", 0, 8.0),
        ("constant", 1000, 8.0),
        ("linear", 0, 8.0),
        ("linear", 250, 6.0),  # 8 * (1 - 1/4)
        ("linear", 1000, 0.0),
        ("cosine", 0, 8.0),
        ("cosine", 500, 4.0),  # 8 * (1 + cos(pi/2))/2
        ("cosine", 250, 6.82842712474619),  # 8 * (1 + cos(pi/4))/2 = 4 + 2 sqrt 2
        ("cosine", 1000, 0.0),
    ],
)
def test_values_by_hand(kind, env_steps, expected):
    assert scheduled(kind, 8.0, env_steps, 1000) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("kind", "last"), [("constant", 8.0), ("linear", 0.0), ("cosine", 0.0)])
def test_the_end_is_kept_beyond_the_end(kind, last):
    # A rollout may overshoot total_steps; the coefficient must not turn negative or rise again.
    for env_steps in (1000, 1001, 1500, 10**9):
        assert scheduled(kind, 8.0, env_steps, 1000) == last


@given(st.sampled_from(["constant", "linear", "cosine"]), st.integers(0, 1200), st.integers(0, 1200))
def test_it_never_rises_and_stays_between_start_and_zero(kind, a, b):
    early, late = (scheduled(kind, 3.0, steps, 1000) for steps in sorted((a, b)))
    assert 3.0 >= early >= late >= 0.0


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="unknown schedule 'quadratic'"):
        scheduled("quadratic", 1.0, 0, 1000)
