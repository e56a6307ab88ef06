"""The prediction of how far ranks scale: its arithmetic."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

from ranks_here import in_parts
from scaling_model import INFINIBAND, RANKS, Work, efficiency, expected_slowest, gloo, nccl

EVEN = [1.0]
WORK = Work("a work", fixed=0.2, step=0.01, weights=1000, rollouts="", num_envs=8, n_step=10)  # a second an update


def test_the_slowest_of_two_draws_is_counted_out():
    # of 1 and 3, twice: (1,1) 1, (1,3) (3,1) (3,3) 3, so 2.5 on average, of a mean of 2
    assert expected_slowest([3.0, 1.0], 2) == pytest.approx(2.5 / 2)
    values = [1.0, 2.0, 4.0, 8.0, 9.0]
    slowest = [max(draw) for draw in itertools.product(values, repeat=3)]
    assert expected_slowest(values, 3) == pytest.approx(sum(slowest) / len(slowest) / (sum(values) / 5))
    assert expected_slowest(values, 1) == pytest.approx(1.0)


def test_the_parts_of_many_draws_have_their_mean_and_order():
    parts = in_parts([float(value) for value in range(2000)])
    assert len(parts) == 500
    assert parts[:2] == [1.5, 5.5]
    assert in_parts([2.0, 1.0]) == [1.0, 2.0]


def test_a_ring_of_gloo_hops_twice_around_and_sends_everything_almost_twice():
    add = gloo({"hop_us": 10.0, "bytes_per_us": 100.0}, between=40.0)
    # 4 ranks: 6 hops of 50 us; 2 * 3/4 of 1000 bytes at 100 a microsecond: 15 us
    assert add(4, 1000.0) == pytest.approx(315e-6)
    assert add(1, 1000.0) == 0.0


def test_nccl_takes_the_quicker_way():
    add = nccl(INFINIBAND)
    # two GPUs, no bytes: a tree of 4.4 + 2 * 1.2 us, a ring of 8.4 + 2 * 3.4
    assert add(2, 0.0) == pytest.approx(6.8e-6)
    # 16 GPUs on two machines: 4.4 + 2 * (7 * 1.2 + 8.5)
    assert add(16, 0.0) == pytest.approx(38.2e-6)
    # many bytes: the ring, 2 * 7/8 of a gigabyte at 235 GB/s
    assert add(8, 1e9) == pytest.approx(1.75e9 / 235e9, rel=0.02)


def test_efficiency_is_time_alone_over_time_together():
    free, slow = (lambda ranks, size: 0.0), (lambda ranks, size: 1.0)
    assert all(efficiency(WORK, ranks, free, EVEN) == pytest.approx(1.0) for ranks in RANKS)
    assert efficiency(WORK, 2, slow, EVEN) == pytest.approx(0.5)
    # 16 environments take 0.2 + 0.1 * 16 = 1.8 s alone; on 4 ranks 0.2 + 0.1 * 4 = 0.6 s
    assert efficiency(WORK, 4, free, EVEN, shared=16) == pytest.approx(1.8 / (4 * 0.6))
