"""The measures of gradients know the answers where there are some."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from a2c.study.measures.gradients import (
    cosine,
    effective_rows,
    log_log_slopes,
    mean_interval,
    relative_error,
    total_variance,
    total_variance_interval,
)

DEVIATIONS = np.array([3.0, 2.0, 1.0, 0.5])  # the trace of the covariance is 9 + 4 + 1 + 0.25
TRACE = 14.25


def gaussian(rng: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    """Gradients with a mean far from 0 and independent components, rotated."""
    rotation = np.linalg.qr(np.random.default_rng(9).standard_normal((4, 4)))[0]
    return (5.0 + rng.standard_normal((*shape, 4)) * DEVIATIONS) @ rotation


def test_relative_error_by_hand():
    # |(3, 4) - (3, 0)| / |(3, 4)| = 4 / 5
    assert relative_error([3.0, 0.0], [3.0, 4.0]) == pytest.approx(0.8)
    assert relative_error([3.0, 4.0], [3.0, 4.0]) == 0.0
    with pytest.raises(ValueError, match="should be zero"):
        relative_error([1.0], [0.0])
    with pytest.raises(ValueError, match=r"shapes \[2\] and \[1\]"):
        relative_error([1.0, 2.0], [1.0])


def test_cosine_is_of_the_angle_and_not_of_the_lengths():
    assert cosine([1.0, 0.0], [7.0, 7.0]) == pytest.approx(np.sqrt(0.5))
    assert cosine([1.0, 2.0], [-3.0, -6.0]) == pytest.approx(-1.0)
    assert cosine([1.0, 2.0], [-2.0, 1.0]) == pytest.approx(0.0)
    long = np.full(9155, 0.1)
    assert cosine(long, long) <= 1.0
    with pytest.raises(ValueError, match="no direction"):
        cosine([0.0, 0.0], [1.0, 0.0])


def test_total_variance_by_hand_and_of_gaussians():
    # mean (1, 1): squared distances 1 + 1, 1 + 1; over R - 1 = 1
    assert total_variance([[0.0, 0.0], [2.0, 2.0]]) == pytest.approx(4.0)
    draws = gaussian(np.random.default_rng(0), 20_000)
    assert total_variance(draws) == pytest.approx(TRACE, rel=0.03)
    assert total_variance(draws) == pytest.approx(float(np.trace(np.cov(draws.T))))


def test_its_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    intervals = [total_variance_interval(gaussian(rng, 40), resamples=300) for _ in range(300)]
    inside = np.mean([each.low <= TRACE <= each.high for each in intervals])
    assert 0.88 <= inside <= 0.99  # of normal draws; the bootstrap is a little short with 40


def test_draws_that_are_all_alike_have_no_variance():
    alike = total_variance_interval(np.ones((5, 3)))
    assert (alike.value, alike.low, alike.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("draws", [np.ones((1, 3)), np.ones(3)])
def test_one_draw_has_no_variance_to_speak_of(draws: NDArray[np.float64]):
    with pytest.raises(ValueError, match="R >= 2"):
        total_variance(draws)


def test_slopes_of_power_laws_are_exact():
    counts = np.array([1, 2, 4, 8])
    assert log_log_slopes(counts, 7.0 / counts) == pytest.approx(-1.0)
    assert log_log_slopes(counts, [3.0 * counts**0.5, np.full(4, 2.0)]) == pytest.approx([0.5, 0.0])
    with pytest.raises(ValueError, match="not positive"):
        log_log_slopes(counts, [1.0, 0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="slope needs"):
        log_log_slopes(counts, [1.0, 2.0])


def slopes(per_batch: Callable[[int], int]) -> NDArray[np.float64]:
    """Of the variance of a batch of N columns, for six policies, where ``per_batch`` of them differ."""
    rng, counts = np.random.default_rng(2), [1, 2, 4, 8, 16]

    def batches(count: int) -> NDArray[np.float64]:
        different = per_batch(count)
        return gaussian(rng, 60, different).repeat(count // different, axis=1).mean(axis=1)

    return log_log_slopes(counts, [[total_variance(batches(count)) for count in counts] for _ in range(6)])


def test_the_variance_of_a_mean_falls_as_1_over_n():
    found = mean_interval(slopes(lambda count: count))
    assert found.low <= -1.0 <= found.high
    assert found.high - found.low < 0.2


def test_identical_columns_do_not_lower_it():
    assert mean_interval(slopes(lambda count: 1)).value == pytest.approx(0.0, abs=0.06)


@pytest.mark.parametrize(("different", "expected"), [(12, 12.0), (6, 6.0), (1, 1.0)])
def test_a_batch_is_worth_as_many_rows_as_differ(different: int, expected: float):
    rows = gaussian(np.random.default_rng(5), 800, different).repeat(12 // different, axis=1)
    assert effective_rows(rows) == pytest.approx(expected, rel=0.1)


def test_correlated_rows_are_worth_less_by_the_variance_inflation_of_their_mean():
    rng = np.random.default_rng(6)
    # rows = sqrt(r) common + sqrt(1 - r) own: Var(mean) = r + (1 - r) / B, so that B = 10, r = 0.5 is worth 1 / 0.55
    rows = np.sqrt(0.5) * (gaussian(rng, 2000, 1) + gaussian(rng, 2000, 10))
    assert effective_rows(rows) == pytest.approx(1 / 0.55, rel=0.1)
    with pytest.raises(ValueError, match="batches that differ"):
        effective_rows(np.ones((3, 4, 2)))
    with pytest.raises(ValueError, match=r"\[R, B, W\]"):
        effective_rows(np.ones((3, 4)))


def test_the_interval_of_a_mean_is_students():
    # mean 2, deviation 1, error 1 / sqrt(3), t = 4.303 with two degrees of freedom
    found = mean_interval([1.0, 2.0, 3.0])
    assert (found.value, found.low, found.high) == pytest.approx(
        (2.0, 2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), abs=1e-3
    )
    with pytest.raises(ValueError, match="S >= 2"):
        mean_interval([1.0])
