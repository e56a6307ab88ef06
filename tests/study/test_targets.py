"""Bias and variance of n-step targets, on a chain of two states where both are known."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from a2c.study.measures.targets import nested_means, percentiles, squared_bias, targets

# From state 0 the chain moves to 1 with probability 0.3, from 1 to 0 with 0.4; leaving state 1 pays 1.
MOVES = np.array([[0.7, 0.3], [0.4, 0.6]])
PAY = np.array([0.0, 1.0])
GAMMA = 0.9
VALUES = np.linalg.solve(np.eye(2) - GAMMA * MOVES, PAY)  # V = r + gamma P V
ERROR = np.array([2.0, 1.0])  # of the critic


def known_bias(n: int) -> float:
    """gamma^n (P^n error)[0]: what is left of the critic's error after n steps from state 0."""
    return float(GAMMA**n * (np.linalg.matrix_power(MOVES, n) @ ERROR)[0])


def known_variance(n: int) -> float:
    """By looking at all 2^n paths from state 0."""
    chances, found = [], []
    for path in product((0, 1), repeat=n):
        states = (0, *path)
        chances.append(np.prod([MOVES[a, b] for a, b in zip(states, path, strict=False)]))
        rewards = sum(GAMMA**k * PAY[state] for k, state in enumerate(states[:-1]))
        found.append(rewards + GAMMA**n * (VALUES + ERROR)[states[-1]])
    mean = np.dot(chances, found)
    return float(np.dot(chances, np.square(np.array(found) - mean)))


def continuations(steps: int, count: int) -> np.ndarray:
    """States ``[steps + 1, count]``, all from state 0."""
    draws = np.random.default_rng(0).random((steps, count))
    states = np.zeros((steps + 1, count), np.int64)
    for t in range(steps):
        states[t + 1] = draws[t] < MOVES[states[t], 1]
    return states


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_bias_and_variance_of_a_chain_are_what_they_must_be(n: int):
    states = continuations(8, 200_000)
    rewards = torch.from_numpy(PAY[states[:-1]])
    critic = torch.from_numpy((VALUES + ERROR)[states[n]])
    found = targets(rewards, torch.zeros(rewards.shape, dtype=torch.bool), {n: critic}, GAMMA)[n].numpy()
    errors = (found - VALUES[0]).reshape(1, -1)
    assert squared_bias(errors)[0] == pytest.approx(known_bias(n) ** 2, rel=0.02)
    assert found.var() == pytest.approx(known_variance(n), rel=0.02)


def test_a_target_ends_with_its_episode():
    rewards = torch.ones(4, 2, dtype=torch.float64)
    done = torch.zeros(4, 2, dtype=torch.bool)
    done[1, 0] = True  # the first continuation ends with its second step: 1 + 0.5
    critic = torch.tensor([8.0, 8.0], dtype=torch.float64)
    found = targets(rewards, done, {1: critic, 2: critic, 4: critic}, gamma=0.5)
    assert found[1].tolist() == [5.0, 5.0]  # 1 + 0.5 * 8
    assert found[2].tolist() == [1.5, 3.5]  # the second: 1 + 0.5 + 0.25 * 8
    assert found[4].tolist() == [1.5, 2.375]  # 1 + 0.5 + 0.25 + 0.125 + 0.0625 * 8


def test_the_squared_bias_of_noise_alone_is_zero_on_average():
    # The squared mean of 4 draws with variance 1 alone would say 0.25.
    errors = np.random.default_rng(0).standard_normal((20_000, 4))
    assert squared_bias(errors).mean() == pytest.approx(0.0, abs=0.01)
    assert squared_bias(errors + 3.0).mean() == pytest.approx(9.0, abs=0.1)


def test_draws_of_the_mean_spread_as_it_does():
    # 400 runs whose means differ by 1, of 50 states that differ by 1: variance (1 + 1/50) / 400, standard error 0.0505
    rng = np.random.default_rng(0)
    values = rng.standard_normal((400, 1)) + rng.standard_normal((400, 50))
    assert nested_means(values, resamples=500).std() == pytest.approx(0.0505, rel=0.1)


def test_equal_seeds_redraw_the_same_states():
    values = np.random.default_rng(0).uniform(1, 2, (4, 6))
    np.testing.assert_allclose(nested_means(3 * values) / nested_means(values), 3.0)
    np.testing.assert_allclose(nested_means(np.stack([values, values], -1))[:, 1], nested_means(values))


def test_the_interval_leaves_out_what_is_rare_at_both_ends():
    low, high = percentiles(np.stack([np.arange(1001.0), -np.arange(1001.0)], 1))
    np.testing.assert_allclose(low, [25.0, -975.0])
    np.testing.assert_allclose(high, [975.0, -25.0])


def test_states_come_run_by_run():
    with pytest.raises(ValueError, match=r"\[S, P, ...\]"):
        nested_means(np.ones(3))
