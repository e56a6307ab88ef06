"""Cells, entropy, coverage and shares, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from a2c.study.measures.shares import difference, share
from a2c.study.measures.state_coverage import cells, covered, effective_states, entropy


@pytest.mark.parametrize("k", [1, 2, 7, 100])
def test_equal_visits_to_k_cells_have_entropy_log_k(k: int):
    visited = np.tile(np.arange(k), 5).reshape(5, k)
    assert entropy(visited) == pytest.approx(np.log(k))
    assert effective_states(visited) == pytest.approx(k)
    assert covered(visited) == k


def test_unequal_visits_by_hand():
    # shares 1/2, 1/4, 1/4: H = 1/2 log 2 + 1/2 log 4 = 3/2 log 2
    assert entropy([0, 0, 1, 2]) == pytest.approx(1.5 * np.log(2))
    assert covered([0, 0, 1, 2]) == 3


def test_cells_by_hand():
    # Two bins over [-1, 1] and two over [0, 10]: cell = first + 2 * second
    obs = [[-0.5, 1.0], [0.5, 1.0], [-0.5, 9.0], [0.5, 9.0]]
    assert cells(obs, [-1, 0], [1, 10], 2).tolist() == [0, 1, 2, 3]


def test_what_lies_beyond_the_grid_counts_to_its_edge():
    assert cells([[-99.0], [-1.0], [1.0], [99.0]], [-1], [1], 4).tolist() == [0, 0, 3, 3]


def test_leading_shapes_are_kept():
    assert cells(np.zeros((3, 5, 2)), [-1, -1], [1, 1], 4).shape == (3, 5)


def test_uniform_points_cover_a_grid_evenly():
    obs = np.random.default_rng(0).uniform(-1, 1, (40_000, 2))
    visited = cells(obs, [-1, -1], [1, 1], 8)
    assert covered(visited) == 64
    assert entropy(visited) == pytest.approx(np.log(64), abs=0.01)


def test_a_share_has_wilsons_interval():
    # z = 1.96, p = 5/10: centre (5 + z^2/2) / (10 + z^2) = 0.5, reach z / (10 + z^2) sqrt(2.5 + z^2/4) = 0.2634
    half = share(5, 10)
    assert (half.low, half.high) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert share(0, 10).low == 0.0
    assert share(0, 10).high == pytest.approx(0.2775, abs=1e-4)  # z^2 / (10 + z^2)


def test_no_share_without_runs():
    with pytest.raises(ValueError, match="0 of 0 runs"):
        share(0, 0)


def test_newcombes_own_example():
    # Newcombe 1998, table II: 56/70 - 48/80 = 0.2, interval 0.0524 to 0.3339 by method 10
    found = difference(share(56, 70), share(48, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_equal_shares_do_not_differ():
    found = difference(share(7, 20), share(7, 20))
    assert found.value == 0.0
    assert found.low == pytest.approx(-found.high)
