"""Ratios over seeds."""

from __future__ import annotations

import numpy as np
import pytest

from a2c.study.measures.paired import geometric_mean, ratio


def test_the_geometric_mean_by_hand():
    # logs 0 and log 4: mean log 2, standard error log 2, t = 12.7 with one degree of freedom
    found = geometric_mean([1.0, 4.0])
    assert found.value == pytest.approx(2.0)
    assert np.log([found.low, found.high]) == pytest.approx(np.log(2) * np.array([1 - 12.706, 1 + 12.706]), rel=1e-4)


def test_what_the_seeds_share_drops_out_of_a_ratio():
    seeds = np.array([1.0, 10.0, 100.0])
    found = ratio(3 * seeds, seeds)
    assert (found.value, found.low, found.high) == pytest.approx((3.0, 3.0, 3.0))


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = [geometric_mean(np.exp(rng.standard_normal(5))) for _ in range(1000)]
    assert np.mean([each.low <= 1.0 <= each.high for each in found]) == pytest.approx(0.95, abs=0.02)


def test_zero_has_no_logarithm():
    with pytest.raises(ValueError, match="positive"):
        geometric_mean([0.0, 1.0])
