"""How widely states were visited: cells, entropy and coverage, as pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Cells = NDArray[np.int64]


def cells(obs: ArrayLike, low: ArrayLike, high: ArrayLike, bins: int) -> Cells:
    """The cell of a regular grid that each observation lies in; what is beyond the ends is in the outermost cells.

    Args:
        obs: ``[..., D]``.
        low, high: ``[D]``: the ends of the grid in each dimension.
        bins: cells in each dimension; bins ** D must fit 63 bits.

    Returns:
        ``[...]``, from 0 to bins ** D - 1.
    """
    values, lower, upper = (np.asarray(each, dtype=np.float64) for each in (obs, low, high))
    each_bin = np.clip(np.floor((values - lower) / (upper - lower) * bins), 0, bins - 1).astype(np.int64)
    return np.asarray(each_bin @ (bins ** np.arange(values.shape[-1], dtype=np.int64)))


def covered(visited: ArrayLike) -> int:
    """How many different cells were visited, in an array of any shape."""
    return len(np.unique(np.asarray(visited)))


def entropy(visited: ArrayLike) -> float:
    """Entropy of the visits, in nats: log k where k cells were visited equally often.

        H = - sum_c p_c log p_c,   p_c the share of visits to cell c

    The plug-in estimate: with n visits it is at most log n, so compare only equal numbers of visits.

    Args:
        visited: cells, an array of any shape, not empty.
    """
    _, counts = np.unique(np.asarray(visited), return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def effective_states(visited: ArrayLike) -> float:
    """exp(entropy): the number of cells that, visited equally often, would have the same entropy."""
    return float(np.exp(entropy(visited)))
