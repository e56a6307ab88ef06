"""Rank correlations with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from a2c.study.measures.ranks import rank_correlations


def test_only_the_order_counts():
    #          rises, falls, one swap of neighbours, constant
    effects = [[0.0, 9.0, 1.0, 2.0], [0.1, 3.0, 2.0, 2.0], [5.0, 2.0, 3.0, 2.0], [6.0, 1.0, 5.0, 2.0], [7, 0, 4, 2]]
    # one swap of neighbours among n = 5: 1 - 6 * (1 + 1) / (5 * 24) = 0.9
    np.testing.assert_allclose(rank_correlations([0.0, 0.001, 0.01, 0.1, 1.0], effects), [1.0, -1.0, 0.9, 0.0])


def test_ties_are_treated_as_scipy_does():
    rng = np.random.default_rng(0)
    causes, effects = rng.integers(0, 4, 20), rng.integers(0, 4, (20, 6))
    expected = [stats.spearmanr(causes, column).statistic for column in effects.T]
    np.testing.assert_allclose(rank_correlations(causes, effects), expected, atol=1e-12)


@pytest.mark.parametrize("causes", [[1.0, 1.0], [1.0, 2.0, 3.0], 1.0])
def test_causes_must_differ_and_match(causes):
    with pytest.raises(ValueError, match="rank correlation"):
        rank_correlations(causes, np.zeros((2, 3)))
