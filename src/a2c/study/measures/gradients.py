"""How gradients compare and how they spread: pure functions of arrays, one flat gradient a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval."""

    value: float
    low: float
    high: float


def relative_error(found: ArrayLike, expected: ArrayLike) -> float:
    """|found - expected| / |expected|, in the Euclidean norm over all elements.

    Raises:
        ValueError: the shapes differ, or ``expected`` is zero.
    """
    found, expected = _same(found, expected)
    scale = float(np.linalg.norm(expected))
    if scale == 0.0:
        raise ValueError("there is no relative error of a gradient that should be zero")
    return float(np.linalg.norm(found - expected)) / scale


def cosine(a: ArrayLike, b: ArrayLike) -> float:
    """Cosine of the angle between two flat gradients ``[W]``: 1 the same direction, 0 orthogonal, -1 opposite.

    Raises:
        ValueError: the shapes differ, or one of them is zero and has no direction.
    """
    a, b = _same(a, b)
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    if lengths == 0.0:
        raise ValueError("a zero gradient has no direction")
    return float(np.clip(np.vdot(a, b) / lengths, -1.0, 1.0))  # rounding may pass the ends


def total_variance(gradients: ArrayLike) -> float:
    """Trace of the covariance of independent gradients: their mean squared distance from the expected one, unbiased.

        tr Cov = sum_r |g_r - mean|^2 / (R - 1)

    Args:
        gradients: ``[R, W]``: R draws of a gradient of W weights.

    Raises:
        ValueError: fewer than two draws.
    """
    draws = np.asarray(gradients)
    if draws.ndim != 2 or len(draws) < 2:
        raise ValueError(f"a variance needs gradients [R, W] with R >= 2, not {list(draws.shape)}")
    return float(draws.var(axis=0, ddof=1, dtype=np.float64).sum())


def total_variance_interval(
    gradients: ArrayLike, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Estimate:
    """:func:`total_variance` with its bootstrap interval over the draws.

    The interval comes from the standard deviation of log variance over resamples. Resamples repeat draws, which makes
    their variance too small by a factor; percentiles would keep that factor.

    Args:
        gradients: ``[R, W]``.
        confidence: share of such intervals that hold the truth.
        resamples: how many to draw.
        seed: the same seed gives the same interval.

    Raises:
        ValueError: fewer than two draws.
    """
    value = total_variance(gradients)
    if value == 0.0:
        return Estimate(0.0, 0.0, 0.0)
    draws = np.asarray(gradients, dtype=np.float64)
    centred = draws - draws.mean(0)
    products = centred @ centred.T  # all that a resample's variance depends on
    count = len(draws)
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    squares = times @ products.diagonal() - np.einsum("br,rs,bs->b", times, products, times, optimize=True) / count
    spread = float(np.std(np.log(squares[squares > 0.0])))  # one draw R times over has none, in R^(1-R) of all cases
    reach = float(stats.norm.ppf((1 + confidence) / 2)) * spread
    return Estimate(value, value * float(np.exp(-reach)), value * float(np.exp(reach)))


def effective_rows(rows: ArrayLike) -> float:
    """How many independent rows would have a mean gradient of the same variance as that of a batch of B.

        effective = tr Cov[row] / tr Cov[mean of the B rows of a batch]

    B for independent rows, 1 for identical ones. The batches must be independent of each other.

    Args:
        rows: ``[R, B, W]``: R batches of B gradients.

    Raises:
        ValueError: fewer than two batches, or batches without spread.
    """
    draws = np.asarray(rows)
    if draws.ndim != 3:
        raise ValueError(f"an effective size needs gradients [R, B, W], not {list(draws.shape)}")
    of_means = total_variance(draws.mean(axis=1, dtype=np.float64))
    if of_means == 0.0:
        raise ValueError("an effective size needs batches that differ")
    return total_variance(draws.reshape(-1, draws.shape[2])) / of_means


def log_log_slopes(x: ArrayLike, y: ArrayLike) -> Floats:
    """Exponent p of the power law y = c x^p, by least squares of log y on log x.

    Args:
        x: ``[K]`` positive.
        y: ``[K]``, or ``[S, K]`` of S runs; positive.

    Returns:
        p: a scalar array, or ``[S]``.

    Raises:
        ValueError: the shapes do not fit, or a number is not positive.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if xs.ndim != 1 or len(xs) < 2 or ys.shape[-1:] != xs.shape:
        raise ValueError(f"a slope needs x [K] with K >= 2 and y [..., K], not {list(xs.shape)} and {list(ys.shape)}")
    if min(xs.min(), ys.min()) <= 0.0:
        raise ValueError("a slope needs logarithms, but a number is not positive")
    position = np.log(xs) - np.log(xs).mean()
    return np.asarray(np.log(ys) @ position / np.square(position).sum())


def mean_interval(values: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Mean of independent numbers with Student's t interval.

    Args:
        values: ``[S]``, S >= 2, about normal.
        confidence: share of such intervals that hold the truth.

    Raises:
        ValueError: fewer than two values.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or len(numbers) < 2:
        raise ValueError(f"an interval needs values [S] with S >= 2, not {list(numbers.shape)}")
    mean, error = float(numbers.mean()), float(numbers.std(ddof=1)) / len(numbers) ** 0.5
    reach = float(stats.t.ppf((1 + confidence) / 2, len(numbers) - 1)) * error
    return Estimate(mean, mean - reach, mean + reach)


def _same(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    one, other = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if one.shape != other.shape:
        raise ValueError(f"gradients have different shapes {list(one.shape)} and {list(other.shape)}")
    return one, other
