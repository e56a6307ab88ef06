"""How much a batch of correlated samples is worth: autocorrelation and effective sample size, as pure functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def autocorrelation(series: ArrayLike, lags: int) -> Floats:
    """Autocorrelation of a stationary series, estimated over one or more independent streams of it.

        rho[k] = mean((x[t] - m) (x[t+k] - m)) / mean((x[t] - m)^2),   m the mean over all streams

    Streams share their mean: subtracting each stream's own would hide what makes it differ from the others.

    Args:
        series: ``[L]``, or ``[L, E]``: E streams of L steps.
        lags: the largest lag, less than L.

    Returns:
        ``[lags + 1]``, from rho[0] = 1.

    Raises:
        ValueError: the series is constant or not longer than ``lags``.
    """
    x = _streams(series)
    if not 0 <= lags < len(x):
        raise ValueError(f"lags={lags} must be at least 0 and less than the length {len(x)}")
    centred = x - x.mean()
    variance = float(np.square(centred).mean())
    if variance == 0.0:
        raise ValueError("a constant series has no autocorrelation")
    products = [float((centred[: len(x) - lag] * centred[lag:]).mean()) for lag in range(lags + 1)]
    return np.asarray(products) / variance


def size_within_stream(rho: ArrayLike, count: int) -> float:
    """Effective size of ``count`` consecutive samples: how many independent ones have a mean as certain.

        n_eff = n / (1 + 2 sum_{k=1}^{n-1} (1 - k/n) rho[k])

    For an AR(1) series with coefficient phi and large n it is n (1 - phi) / (1 + phi).

    Args:
        rho: autocorrelation from lag 0; lags that it does not hold count as 0.
        count: n.

    Source: Geyer 1992, "Practical Markov chain Monte Carlo", section 3.1.
    """
    known = np.asarray(rho, dtype=np.float64)[1:count]
    lags = np.arange(1, len(known) + 1)
    return count / float(1.0 + 2.0 * np.sum((1.0 - lags / count) * known))


def effective_size(batch_means: ArrayLike, mean: float, variance: float) -> float:
    """Effective size of a batch, from the means of many such batches, which show all correlation between samples.

        n_eff = variance / mean((batch mean - mean)^2)

    Independent samples give the number of samples in a batch. Deviations are from the true mean, not from that of the
    batches: batches that are all wrong in the same way are worth less, however much they agree.

    Args:
        batch_means: any shape.
        mean, variance: of one sample drawn at random.

    Raises:
        ValueError: every batch has the mean exactly, so that the size would be infinite.
    """
    error = float(np.square(np.asarray(batch_means, dtype=np.float64) - mean).mean())
    if error == 0.0:
        raise ValueError("all batch means are exact: the effective size would be infinite")
    return variance / error


def window_means(series: ArrayLike, length: int) -> Floats:
    """Means of ``length`` consecutive samples, ``[L, E]`` -> ``[L - length + 1, E]``; row t begins at step t.

    Raises:
        ValueError: the series is shorter than a window.
    """
    x = _streams(series)
    if not 1 <= length <= len(x):
        raise ValueError(f"a window of {length} steps does not fit a series of {len(x)}")
    sums = np.concatenate([np.zeros_like(x[:1]), np.cumsum(x, axis=0)])
    return np.asarray((sums[length:] - sums[:-length]) / length)


def _streams(series: ArrayLike) -> Floats:
    x = np.asarray(series, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or x.size == 0:
        raise ValueError(f"streams have shape [L, E], not {list(x.shape)}")
    return x
