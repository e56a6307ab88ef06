"""The values that a setting may take in a sweep, and what becomes of a number that the search draws."""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass

from scipy import special

from a2c.errors import ConfigError

TAIL = 1e-3  # of a distribution without ends, how much of the probability is left out on either side
FINE = 1000  # a value is rounded by no more than this part of its range
MOST_COMBINATIONS = 10_000  # of a grid


@dataclass(frozen=True, slots=True)
class Shape:
    """A distribution that is not uniform: ``normal`` and ``log_normal`` of (mu, sigma), or ``beta`` of (a, b)."""

    name: str
    first: float
    second: float

    def at(self, share: float) -> float:
        """The value below which this share of the probability lies: the inverse of the cumulative distribution."""
        if self.name == "beta":
            return float(special.betaincinv(self.first, self.second, share))
        value = self.first + self.second * float(special.ndtri(share))
        return value if self.name == "normal" else math.exp(value)

    @property
    def shares(self) -> tuple[float, float]:
        """The shares between which the search draws: every value that it can propose has been checked before."""
        return (0.0, 1.0) if self.name == "beta" else (TAIL, 1 - TAIL)


@dataclass(frozen=True, slots=True)
class Parameter:
    """The values that a setting may take: choices, or a range.

    Attributes:
        choices: as one types them; in a grid those of a range, too.
        low, high: ends of a range.
        log: the range is uniform in its logarithm.
        whole: whole numbers alone.
        step: values are multiples of it.
        weights: how often each choice is drawn, adding to 1; empty: all alike.
        shape: the distribution over the range, where that is not uniform.
    """

    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    step: float | None = None
    weights: tuple[float, ...] = ()
    shape: Shape | None = None

    @property
    def shares(self) -> tuple[float, float] | None:
        """The range of shares of the probability in which the search draws; None: it draws the value itself."""
        if self.weights:
            return 0.0, 1.0
        return None if self.shape is None else self.shape.shares


def as_typed(parameter: Parameter, drawn: str | float) -> str:
    """What one types for what the search has drawn: a choice, a number, or a share of the probability.

    A float has four digits, or as many more as the range needs: more say nothing that a search could know.
    """
    if parameter.weights:
        place = bisect.bisect_right(list(itertools.accumulate(parameter.weights)), float(drawn))
        possible = [at for at, weight in enumerate(parameter.weights) if weight]
        return parameter.choices[min(place, possible[-1])]
    if parameter.choices:
        return str(drawn)
    if parameter.whole:
        return str(int(drawn))
    value = float(drawn) if parameter.shape is None else parameter.shape.at(float(drawn))
    if parameter.step is not None:
        times = round(value / parameter.step)
        if parameter.shape is None:  # min and max are limits
            first, last = multiples(parameter.low, parameter.high, parameter.step)
            times = min(max(times, first), last)
        return f"{times * parameter.step:.12g}"
    return _rounded(value, parameter)


def multiples(low: float, high: float, step: float) -> tuple[int, int]:
    """The first and the last whole number whose product with ``step`` lies within a range, rounding errors aside."""
    return math.ceil(round(low / step, 9)), math.floor(round(high / step, 9))


def ends(parameter: Parameter) -> tuple[str, ...]:
    """The choices, or of a range the least and the greatest value, as one types them."""
    if parameter.choices:
        from_range = parameter.low < parameter.high
        return (parameter.choices[0], parameter.choices[-1]) if from_range else parameter.choices
    return tuple(as_typed(parameter, drawn) for drawn in parameter.shares or (parameter.low, parameter.high))


def listed(key: str, parameter: Parameter) -> Parameter:
    """A parameter of a grid: its choices, or every number of a range that has only so many.

    Raises:
        ConfigError: it is continuous, has probabilities, or has more values than a grid could try.
    """
    if parameter.weights or parameter.shape is not None or not (parameter.choices or parameter.whole or parameter.step):
        kind = "has probabilities" if parameter.weights else "is a range"
        raise ConfigError(f"method=grid needs values, and {key} {kind}; list values, or choose method random or bayes")
    if parameter.choices:
        return parameter
    if parameter.log:
        raise ConfigError(f"method=grid needs values, and {key} is a range; list values")
    step = parameter.step or 1
    count = math.floor(round((parameter.high - parameter.low) / step, 9)) + 1
    if count > MOST_COMBINATIONS:
        raise ConfigError(f"method=grid: {key} has {count:,} values; list fewer, or choose method random")
    texts = tuple(f"{parameter.low + place * step:.12g}" for place in range(count))
    return Parameter(texts, low=parameter.low, high=parameter.high)


def _rounded(value: float, parameter: Parameter) -> str:
    most = math.inf if parameter.log else (parameter.high - parameter.low) / FINE
    for digits in range(4, 17):
        text = f"{value:.{digits}g}"
        if parameter.low <= float(text) <= parameter.high and abs(float(text) - value) <= most:
            return text
    return repr(min(max(value, parameter.low), parameter.high))
