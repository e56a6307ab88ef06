"""Means and variances of parts of a batch, merged into those of all of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Moments = tuple[Tensor, Tensor, Tensor]  # mean [*], population variance [*], count []


def moments_of_numbers(numbers: np.ndarray, picked: np.ndarray) -> tuple[float, float, int]:
    """Mean, population variance and count of the numbers that a mask of the same shape picks; 0 where it picks none."""
    seen = numbers[picked]
    return (float(seen.mean()), float(seen.var()), seen.size) if seen.size else (0.0, 0.0, 0)


def merged_moments(means: Tensor, variances: Tensor, counts: Tensor) -> Moments:
    """Mean, population variance and count over K parts together.

    With n the count of all, m the mean of all and K's own m_k, v_k, n_k:

        m = sum n_k m_k / n;   v = sum n_k (v_k + (m_k - m)^2) / n

    Args:
        means, variances: ``[K, *]``; those of a part that counts nothing are not looked at.
        counts: ``[K]``.

    Returns:
        Tensors ``[*]``, ``[*]`` and ``[]``; 0 where nothing counts.

    Source: Chan et al. 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    """
    counts = counts.to(means.dtype)
    count = counts.sum()
    shares = (counts / count.clamp(min=1)).view(-1, *[1] * (means.ndim - 1))
    seen = shares > 0
    mean = torch.where(seen, means * shares, 0).sum(0)
    return mean, torch.where(seen, (variances + (means - mean).square()) * shares, 0).sum(0), count
