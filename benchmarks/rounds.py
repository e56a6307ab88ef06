"""Measurements that take turns, and what they say: medians, ratios of pairs, slopes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from processes import MeasurementError

T = TypeVar("T")
Spread = dict[str, float]  # median, low, high


def take_turns(
    measures: Mapping[str, Callable[[], T]], rounds: int, before: Callable[[], None] = lambda: None
) -> tuple[dict[str, list[T]], dict[str, str]]:
    """Measure A B C, C B A, A B C, ..., so that drift of the machine affects all of them alike.

    Args:
        measures: what to measure, by name, in the order of the first round.
        rounds: how often each is measured.
        before: called before each round.

    Returns:
        The results by name, one for each round; and the reasons by name of those that raised MeasurementError, which
        have no results and are not tried again.
    """
    results: dict[str, list[T]] = {name: [] for name in measures}
    failures: dict[str, str] = {}
    for index in range(rounds):
        before()
        for name in list(measures) if index % 2 == 0 else list(measures)[::-1]:
            if name in failures:
                continue
            try:
                results[name].append(measures[name]())
            except MeasurementError as error:
                failures[name] = str(error)
                results.pop(name)
    return results, failures


NEAR = 0.6  # of the best speed at the first look: no further looks at slower ones
LOOKS = 3


def fastest(measures: Mapping[str, Callable[[], Mapping[str, float]]]) -> tuple[str, dict[str, float], dict[str, str]]:
    """The name of the measurement with the most ``steps_per_second``, all speeds, and all failures.

    It looks once at each, and twice more, in turns, at those near the best. The median counts, so that a moment in
    which the machine was busy does not decide.

    Raises:
        MeasurementError: none of them works.
    """
    results, failures = take_turns(measures, 1)
    if not results:
        raise MeasurementError("; ".join(dict.fromkeys(failures.values())))
    best = max(found[0]["steps_per_second"] for found in results.values())
    near = {name: measures[name] for name, found in results.items() if found[0]["steps_per_second"] >= NEAR * best}
    more, failed = take_turns(near, LOOKS - 1) if len(near) > 1 else ({}, {})
    speeds = {
        name: statistics.median(look["steps_per_second"] for look in [*found, *more.get(name, [])])
        for name, found in results.items()
        if name not in failed
    }
    failures |= failed
    return max(speeds, key=lambda name: speeds[name]), speeds, failures


def spread(values: Sequence[float]) -> Spread:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def paired_ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """``ours / theirs`` of each round: a slow moment of the machine slows both sides of a pair.

    Raises:
        ValueError: a round lacks one side.
    """
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def loglog_slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Exponent p of the least-squares fit ``cost = c * size ** p``; linear growth is 1."""
    fit = statistics.linear_regression([math.log(x) for x in sizes], [math.log(y) for y in costs])
    return fit.slope
