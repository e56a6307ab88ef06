"""Bias and variance of n-step targets: pure functions of many continuations from the same states."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from a2c.maths.returns import n_step_returns

Floats = NDArray[np.float64]


def targets(rewards: Tensor, done: Tensor, values: Mapping[int, Tensor], gamma: float) -> dict[int, Tensor]:
    """The n-step target of the first step of every continuation, for several n.

        G^(n) = r[0] + gamma r[1] + ... + gamma^(n-1) r[n-1] + gamma^n V(s[n])

    Args:
        rewards: ``[H, B]``: B continuations of H steps.
        done: ``[H, B]`` bool: the world ended at this step; later steps do not count.
        values: the critic's value ``[B]`` of the state after n steps, for each n <= H.
        gamma: discount.

    Returns:
        ``[B]`` for each n.
    """
    found = {}
    for n, value in values.items():
        next_values = torch.zeros_like(rewards[:n])
        next_values[-1] = torch.where(done[n - 1], 0.0, value)
        found[n] = n_step_returns(rewards[:n], next_values, done[:n], gamma)[0]
    return found


def squared_bias(errors: ArrayLike) -> Floats:
    """Squared mean error of each state's target, without the part that the noise of the mean adds.

        bias^2 = mean(error)^2 - var(error) / K

    The estimate is unbiased, so it may be negative where there is no bias.

    Args:
        errors: ``[P, K]``: target minus reference, K >= 2 independent continuations of each of P states.

    Returns:
        ``[P]``.
    """
    each = np.asarray(errors, dtype=np.float64)
    return np.asarray(np.square(each.mean(-1)) - each.var(-1, ddof=1) / each.shape[-1])


def nested_means(values: ArrayLike, *, resamples: int = 2000, seed: int = 0) -> Floats:
    """Bootstrap draws of the mean over all states of all runs.

    It redraws runs, then states within each: the states of one run share a policy and a critic.

    Args:
        values: ``[S, P, ...]``: P states in each of S runs.
        resamples: R.
        seed: the same seed draws the same runs and states, for any values of this shape.

    Returns:
        ``[R, ...]``.

    Raises:
        ValueError: there are no states, or ``values`` has fewer than two dimensions.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim < 2 or found.size == 0:
        raise ValueError(f"resampling states needs values [S, P, ...], not {list(found.shape)}")
    rng = np.random.default_rng(seed)
    count, states = found.shape[:2]
    means = []
    for _ in range(resamples):
        run = rng.integers(count, size=(count, 1))
        means.append(found[run, rng.integers(states, size=(count, states))].mean((0, 1)))
    return np.asarray(means)


def percentiles(draws: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Lower and upper end of the interval that bootstrap draws ``[R, ...]`` give, each ``[...]``."""
    low, high = np.quantile(np.asarray(draws, dtype=np.float64), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return np.asarray(low), np.asarray(high)
