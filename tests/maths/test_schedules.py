"""A coefficient is a function of env steps alone."""

from __future__ import annotations

import math

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


POINTS = [[0.1, 1.0], [0.5, 0.2], [0.75, 0.6]]


@pytest.mark.parametrize(
    ("kind", "env_steps", "expected"),
    [
        ("linear", 250, 6.5),  # 2 + (8 - 2) * 3/4
        ("linear", 5000, 2.0),
        ("cosine", 500, 5.0),  # 2 + 6 * (1 + cos(pi/2)) / 2
        (POINTS, 0, 8.0),  # before the first point: 8 * 1
        (POINTS, 300, 4.8),  # halfway from 1.0 to 0.2: 8 * 0.6
        (POINTS, 500, 1.6),  # 8 * 0.2
        (POINTS, 700, 4.16),  # 8 * (0.2 + 0.4 * 4/5)
        (POINTS, 750, 4.8),
        (POINTS, 5000, 4.8),  # after the last one
        ([[0, 0.5]], 300, 4.0),
    ],
)
def test_other_ends_and_points_by_hand(kind, env_steps, expected):
    assert scheduled(kind, 8.0, env_steps, 1000, end=2.0) == pytest.approx(expected, abs=1e-12)


@given(st.sampled_from(["linear", "cosine"]), st.floats(1e-5, 10.0), st.integers(0, 1200))
def test_to_zero_it_keeps_the_bits_that_it_had_without_an_end(kind, start, env_steps):
    left = 1.0 - min(env_steps / 1000, 1.0)
    before = start * left if kind == "linear" else start * 0.5 * (1.0 - math.cos(math.pi * left))
    assert scheduled(kind, start, env_steps, 1000) == before


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
