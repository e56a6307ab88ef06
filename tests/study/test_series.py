"""Autocorrelation and effective sample size, on series whose every correlation is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from a2c.study.measures.series import autocorrelation, effective_size, size_within_stream, window_means

PHI = 0.8


def ar1(steps: int, streams: int, phi: float = PHI, seed: int = 0) -> np.ndarray:
    """x[t] = phi x[t-1] + noise, stationary from the first step, with variance 1: ``[steps, streams]``."""
    noise = np.random.default_rng(seed).standard_normal((steps, streams))
    noise[1:] *= np.sqrt(1 - phi**2)
    return np.asarray(lfilter([1.0], [1.0, -phi], noise, axis=0))


def test_the_autocorrelation_of_ar1_is_phi_to_the_lag():
    rho = autocorrelation(ar1(20_000, 8), 10)
    np.testing.assert_allclose(rho, PHI ** np.arange(11), atol=0.02)


def test_white_noise_has_none():
    rho = autocorrelation(ar1(20_000, 8, phi=0.0), 5)
    assert rho[0] == 1.0
    np.testing.assert_allclose(rho[1:], 0.0, atol=0.01)


def test_streams_that_differ_for_good_are_correlated_at_every_lag():
    # Two streams at +1 and -1 with noise of variance 1 around them: variance 2, of which half never changes.
    series = np.array([1.0, -1.0]) + ar1(20_000, 2, phi=0.0)
    np.testing.assert_allclose(autocorrelation(series, 5)[1:], 0.5, atol=0.02)


def test_one_stream_may_come_as_a_vector():
    series = ar1(50, 1)
    np.testing.assert_array_equal(autocorrelation(series[:, 0], 3), autocorrelation(series, 3))


def test_a_constant_or_short_series_is_refused():
    with pytest.raises(ValueError, match="constant"):
        autocorrelation(np.ones(9), 2)
    with pytest.raises(ValueError, match="less than the length 9"):
        autocorrelation(np.arange(9.0), 9)


def test_many_samples_of_ar1_are_worth_their_textbook_number():
    # n (1 - phi) / (1 + phi) = 1000 * 0.2 / 1.8 = 111.1; the ends of the stream add a little
    assert size_within_stream(PHI ** np.arange(1000), 1000) == pytest.approx(1000 * (1 - PHI) / (1 + PHI), rel=0.01)


def test_three_samples_by_hand():
    # 1 + 2 ((1 - 1/3) 0.5 + (1 - 2/3) 0.25) = 1 + 2 (1/3 + 1/12) = 11/6
    assert size_within_stream([1.0, 0.5, 0.25], 3) == pytest.approx(3 * 6 / 11)
    assert size_within_stream([1.0], 3) == 3.0


def test_both_ways_to_the_effective_size_agree_on_ar1():
    series, length = ar1(40_000, 8), 50
    from_means = effective_size(window_means(series, length)[::length], 0.0, 1.0)
    assert from_means == pytest.approx(size_within_stream(PHI ** np.arange(length), length), rel=0.06)


def test_independent_samples_are_worth_their_number():
    means = ar1(20_000, 16, phi=0.0).mean(1)
    assert effective_size(means, 0.0, 1.0) == pytest.approx(16, rel=0.05)


def test_a_batch_of_copies_is_worth_one_sample():
    means = ar1(20_000, 1, phi=0.0)
    assert effective_size(means, 0.0, 1.0) == pytest.approx(1, rel=0.05)


def test_batches_that_agree_on_a_wrong_mean_are_worth_little():
    # All batches at 2 standard deviations from the mean: 1 / 4 of a sample, however little they differ.
    assert effective_size(np.full(100, 2.0), 0.0, 1.0) == 0.25


def test_window_means_by_hand():
    series = np.array([[0.0, 10.0], [2.0, 20.0], [4.0, 30.0]])
    np.testing.assert_allclose(window_means(series, 2), [[1.0, 15.0], [3.0, 25.0]])
    np.testing.assert_allclose(window_means(series, 3), [[2.0, 20.0]])
    with pytest.raises(ValueError, match="window of 4"):
        window_means(series, 4)
