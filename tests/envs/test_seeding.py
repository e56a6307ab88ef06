"""Every (seed, role, environment) has a stream of its own."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from a2c.envs.seeding import EVAL, FINAL_EVAL, TRAIN, env_seed, env_seeds


def test_no_two_environments_of_neighbouring_runs_share_a_seed():
    # seed + i would give 64 + 63 distinct seeds instead of 64 * 64 * 3
    seeds = [env_seed(s, role, i) for s, role, i in itertools.product(range(64), (TRAIN, EVAL, FINAL_EVAL), range(64))]
    # a birthday among 12288 of 2**31 is expected 0.035 times; these are fixed numbers
    assert len(set(seeds)) == len(seeds)


def test_the_seed_is_the_head_of_a_spawned_stream():
    expected = np.random.SeedSequence(7, spawn_key=(EVAL, 3)).generate_state(1, dtype=np.uint32)[0]
    assert env_seed(7, EVAL, 3) == expected // 2


def test_environment_i_has_the_same_seed_however_many_there_are():
    assert env_seeds(5, TRAIN, 8)[:3] == env_seeds(5, TRAIN, 3)


def test_zero_is_a_seed():
    assert env_seeds(0, TRAIN, 4) == env_seeds(0, TRAIN, 4)
    assert env_seeds(0, TRAIN, 4) != env_seeds(1, TRAIN, 4)


@given(seed=st.integers(0, 2**63), role=st.sampled_from([TRAIN, EVAL, FINAL_EVAL]), index=st.integers(0, 2**20))
def test_a_seed_fits_a_signed_32_bit_integer(seed, role, index):
    assert 0 <= env_seed(seed, role, index) < 2**31
