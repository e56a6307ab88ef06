"""Noise is Philox4x32-10: right by its published vectors, uniform, independent, and a pure function of its place."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from a2c.maths.distributions import Categorical, DiagonalGaussian
from a2c.maths.noise import philox, uniform_noise


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_known_answers_of_random123(counter, key, expected):
    # kat_vectors of Random123 1.14: zeros, ones, and the digits of pi
    words = [torch.tensor(int(word, 16)) for word in counter.split()]
    bits = philox(tuple(words), tuple(int(word, 16) for word in key.split()))
    assert " ".join(f"{int(word):08x}" for word in bits) == expected


def naive_philox(counter: list[int], key: list[int]) -> list[int]:
    """Salmon et al. 2011, figure 2, in Python's unbounded integers."""
    for _ in range(10):
        p0, p1 = counter[0] * 0xD2511F53, counter[2] * 0xCD9E8D57
        counter = [(p1 >> 32) ^ counter[1] ^ key[0], p1 % 2**32, (p0 >> 32) ^ counter[3] ^ key[1], p0 % 2**32]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return counter


WORD = st.integers(0, 2**32 - 1)


@given(st.lists(WORD, min_size=4, max_size=4), st.lists(WORD, min_size=2, max_size=2))
def test_wrapping_tensor_arithmetic_equals_unbounded_integers(counter, key):
    bits = philox(tuple(torch.tensor(word) for word in counter), tuple(key))
    assert [int(word) for word in bits] == naive_philox(counter, key)


def test_every_number_stands_where_its_counter_says():
    # counter = (block of four, environment, t, update), key = (low, high half of the seed), 23 bits and a half
    seed, update, t, env, k = (7 << 32) + 5, 11, 2, 9, 6
    word = naive_philox([k // 4, env, t, update], [5, 7])[k % 4]
    noise = uniform_noise(seed, range(10, 13), 4, range(8, 12), 7)
    assert noise.shape == (3, 4, 4, 7)
    assert float(noise[update - 10, t, env - 8, k]) == ((word >> 9) + 0.5) / 2**23


def test_neither_end_of_the_interval_is_ever_reached(monkeypatch):
    for word, expected in ((0, 2.0**-24), (2**32 - 1, 1 - 2.0**-24)):
        monkeypatch.setattr(
            "a2c.maths.noise.philox", lambda counter, key, word=word: (torch.full((1, 1, 1, 1), word),) * 4
        )
        noise = uniform_noise(0, range(1), 1, range(1), 4)
        assert (noise == expected).all()
        assert Categorical(4).noise(noise).isfinite().all()
        assert DiagonalGaussian(2).noise(noise).isfinite().all()


# ---- how it looks from outside ----


@pytest.fixture(scope="module")
def numbers() -> Tensor:
    """``[updates, T, N, K]`` = ``[16, 16, 32, 32]``: 2^18."""
    return uniform_noise(1, range(16), 16, range(32), 32).double()


def test_numbers_are_uniform(numbers):
    # Kolmogorov-Smirnov: sqrt(n) times the largest gap exceeds 1.95 once in a thousand seeds
    ordered = numbers.flatten().sort().values
    n = len(ordered)
    above = (torch.arange(1, n + 1) / n - ordered).max()
    below = (ordered - torch.arange(n) / n).max()
    assert math.sqrt(n) * float(max(above, below)) < 1.95


def test_every_bit_that_is_used_is_fair(numbers):
    bits = (numbers * 2**23).floor().long().flatten()
    n = len(bits)
    for place in range(23):
        ones = float(((bits >> place) & 1).sum())
        assert abs(ones - n / 2) < 4 * math.sqrt(n) / 2, f"bit {place}"


@pytest.mark.parametrize("axis", range(4), ids=["update", "step", "environment", "number"])
@pytest.mark.parametrize("distance", [1, 2, 4, 8])
def test_neighbours_along_every_axis_are_independent(numbers, axis, distance):
    size = numbers.shape[axis]
    one, other = numbers.narrow(axis, 0, size - distance), numbers.narrow(axis, distance, size - distance)
    n = one.numel()
    correlation = float(((one - 0.5) * (other - 0.5)).mean() * 12)
    assert abs(correlation) < 4 / math.sqrt(n)
    # and beyond correlation: pairs fill an 8 x 8 grid evenly (chi-square, 63 degrees of freedom: 63 +- 11.2)
    cells = torch.bincount(((one * 8).floor() * 8 + (other * 8).floor()).long().flatten(), minlength=64).double()
    assert float((cells - n / 64).square().sum() / (n / 64)) < 63 + 4 * 11.2


@pytest.mark.parametrize("other", [2, 1 + (1 << 32), 1 + (1 << 63)], ids=["low", "word", "top"])
def test_another_seed_gives_unrelated_numbers_in_all_of_its_64_bits(numbers, other):
    others = uniform_noise(other, range(16), 16, range(32), 32).double()
    correlation = float(((numbers - 0.5) * (others - 0.5)).mean() * 12)
    assert abs(correlation) < 4 / math.sqrt(numbers.numel())
    assert (numbers == others).double().mean() < 1e-4


def test_no_number_is_dealt_twice(numbers):
    # 2^18 draws of 2^23 values: the birthday expectation of distinct ones is 2^23 (1 - exp(-1/32)) = 258,090 +- 64
    distinct = len(np.unique(numbers.numpy()))
    assert abs(distinct - 2**23 * (1 - math.exp(-1 / 32))) < 4 * 64


# ---- a pure function of its place: exact resume, any division of work ----


@st.composite
def blocks(draw: st.DrawFn) -> tuple[range, int, range, int]:
    first, env = draw(st.sampled_from([0, 5, 2**31, 2**32 - 9])), draw(st.sampled_from([0, 3, 1000]))
    updates = range(first, first + draw(st.integers(1, 6)))
    return updates, draw(st.integers(1, 6)), range(env, env + draw(st.integers(1, 9))), draw(st.integers(1, 9))


@given(blocks(), st.data())
def test_a_part_drawn_alone_equals_its_place_in_the_whole(block, data):
    updates, steps, envs, size = block
    whole = uniform_noise(3, updates, steps, envs, size)
    u = data.draw(st.integers(0, len(updates) - 1))
    first = data.draw(st.integers(0, len(envs) - 1))
    part = uniform_noise(3, updates[u:], steps, envs[first:], size)
    assert torch.equal(part, whole[u:, :, first:])
    single = uniform_noise(3, updates[u : u + 1], steps, envs[first : first + 1], size)
    assert torch.equal(single, whole[u : u + 1, :, first : first + 1])


@given(blocks(), st.data())
@pytest.mark.parametrize("kind", [Categorical, DiagonalGaussian])
def test_the_noise_of_a_distribution_does_not_depend_on_what_is_drawn_beside_it(kind, block, data):
    # Kernels treat the ends of a vector apart; that must not show in a single bit.
    updates, steps, envs, size = block
    distribution = kind(size)
    whole = distribution.noise(uniform_noise(3, updates, steps, envs, distribution.noise_size))
    u = data.draw(st.integers(0, len(updates) - 1))
    first = data.draw(st.integers(0, len(envs) - 1))
    part = distribution.noise(uniform_noise(3, updates[u:], steps, envs[first:], distribution.noise_size))
    assert torch.equal(part, whole[u:, :, first:])


def test_a_longer_rollout_begins_like_a_shorter_one():
    short, long = (uniform_noise(3, range(2), steps, range(4), 3) for steps in (5, 8))
    assert torch.equal(long[:, :5], short)


def test_noise_is_float32():
    assert uniform_noise(0, range(1), 1, range(1), 1).dtype == torch.float32


@pytest.mark.gpu
def test_cuda_gives_the_numbers_of_the_cpu():
    there = uniform_noise(3, range(4), 5, range(6), 7, device="cuda")
    assert torch.equal(there.cpu(), uniform_noise(3, range(4), 5, range(6), 7))
