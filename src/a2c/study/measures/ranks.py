"""Whether one thing rises with another, whatever the shape of the curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


def rank_correlations(causes: ArrayLike, effects: ArrayLike) -> NDArray[np.float64]:
    """Spearman's rank correlation of every column: 1 rises all the way, -1 falls all the way, 0 has no order.

    Args:
        causes: ``[K]``, not all equal.
        effects: ``[K, S]``: their effect in each of S runs; a run with all effects equal gives 0.

    Returns:
        ``[S]``.

    Raises:
        ValueError: fewer than two causes, or all of them are equal, or the lengths differ.
    """
    x, y = np.asarray(causes, dtype=np.float64), np.asarray(effects, dtype=np.float64)
    if x.ndim != 1 or y.ndim != 2 or len(x) != len(y) or np.ptp(x) == 0:
        raise ValueError(f"a rank correlation needs different causes [K] and effects [K, S], not {x.shape}, {y.shape}")
    ranks = [stats.rankdata(values) for values in (x, *y.T)]
    return np.array([0.0 if np.ptp(column) == 0 else np.corrcoef(ranks[0], column)[0, 1] for column in ranks[1:]])
