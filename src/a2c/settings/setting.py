"""One setting: what it means and which values it may take.

No torch and no omegaconf, so that worker processes import this in milliseconds.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from a2c.errors import ConfigError

Record = TypeVar("Record")


POINTS = "[[0, 1.0], [0.5, 0.2], [1, 0.0]]"
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a setting means and which values it may take; that of a list or a mapping holds for each of its items."""

    doc: str
    low: float | None = None
    high: float | None = None
    open_low: bool = False  # low itself is excluded
    open_high: bool = False
    choices: tuple[str, ...] = ()
    pattern: str = ""  # a regular expression for the whole text, or for what it may be beside the choices
    says: str = ""  # the pattern in words
    points: bool = False  # or a list of points of a schedule
    auto: bool = False  # or the word auto, until a value follows from the environment (auto_values.py)

    def __str__(self) -> str:
        if self.points:
            return f"must be {', '.join(self.choices)}, or points like {POINTS}: rising fractions of the run, factors"
        if self.choices:
            return f"must be one of {', '.join(self.choices)}{f', or {self.says}' if self.pattern else ''}"
        if self.pattern:
            return f"must be {self.says}"
        if self.low is not None and self.high is not None:
            return f"must be in {'(' if self.open_low else '['}{self.low}, {self.high}{')' if self.open_high else ']'}"
        if self.low is not None:
            return f"must be {'>' if self.open_low else '>='} {self.low}"
        return ""

    def allows(self, value: Any) -> bool:
        """Whether ``value``, which has the right type, is one that the setting may take."""
        if value is None or (self.auto and value == AUTO):
            return True  # the type says whether null is allowed
        if self.points and isinstance(value, list):
            return _are_points(value)
        if isinstance(value, list):
            return all(self.allows(item) for item in value)
        if isinstance(value, dict) and self.pattern:
            return all(self.allows(item) for item in value.values())
        if value in self.choices:
            return True
        if self.choices and not self.pattern:
            return False
        if self.pattern:
            return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None
        if self.low is not None and not (value > self.low if self.open_low else value >= self.low):
            return False
        return self.high is None or (value < self.high if self.open_high else value <= self.high)


def _are_points(value: list[Any]) -> bool:
    """Whether these are points of a schedule: fractions of the run in [0, 1], rising, each with a factor >= 0."""
    if not value or any(len(point) != 2 or not 0 <= point[0] <= 1 or point[1] < 0 for point in value):
        return False
    return all(one[0] < other[0] for one, other in itertools.pairwise(value))


def setting(doc: str, **rule: Any) -> Any:
    """A dataclass field with a rule and no default: values live in ``conf/`` alone.

    Args:
        doc: what the setting means, for help texts.
        rule: the other fields of :class:`Rule`.
    """
    return field(metadata={"rule": Rule(doc, **rule)})


def settings(record: Any, prefix: str = "") -> Iterator[tuple[str, Any, Rule]]:
    """Every leaf setting of a config, or of its class: ``(dotted key, value or type, rule)``."""
    types = typing.get_type_hints(record if isinstance(record, type) else type(record))
    for item in dataclasses.fields(record):
        value = types[item.name] if isinstance(record, type) else getattr(record, item.name)
        if dataclasses.is_dataclass(value):
            yield from settings(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", value, item.metadata["rule"]


def check_ranges(record: Record) -> Record:
    """Check every setting against its rule and return the record.

    Raises:
        ConfigError: names the first setting that breaks its rule.
    """
    for key, value, rule in settings(record):
        if not rule.allows(value):
            shown = f"{value!r}" if isinstance(value, str) else value
            raise ConfigError(f"{key}={shown} {rule}")
    return record
