"""What makes up a claim of the article: how to measure, judge and draw it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from matplotlib.figure import Figure

from a2c.study.settings import StudySettings

Data = dict[str, Any]  # a measurement: JSON values only, so that it can be judged and drawn again


class Verdict(Enum):
    """What the measurement says of a claim."""

    SUPPORTED = "supported"
    CONDITIONAL = "only under conditions"
    NOT_SUPPORTED = "not supported"


@dataclass(frozen=True, slots=True)
class Number:
    """A measured number with its 95 % interval; ``low`` and ``high`` are None where it is exact."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, the criterion behind it, and the numbers that it rests on."""

    verdict: Verdict
    why: str  # the criterion and what decided it, in a sentence or two
    numbers: list[Number]


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of the article.

    ``judge`` and ``draw`` are pure functions of what ``measure`` returned. The criterion in ``judge`` was
    chosen on seeds that the study does not use, and it can give every verdict.
    """

    key: str  # name in files and settings
    title: str
    says: str  # the claim, in a sentence
    formula: str  # plain text with Unicode mathematics, one equation a line
    method: str  # how it is measured, for a reader who knows the field
    code: tuple[str, ...]  # where it is implemented, like "a2c/maths/returns.py: lambda_returns"
    measure: Callable[[StudySettings], Data]
    judge: Callable[[Data], Judgement]
    draw: Callable[[Data], Figure]
