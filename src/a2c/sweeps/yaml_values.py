"""Pieces of a sweep file: mappings with known keys, numbers, whole numbers; or one line that says what is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from a2c.errors import ConfigError
from a2c.settings.suggest import nearest

# What people write as a number and YAML 1.1 reads as text, for want of a point: 1e-4.
_POINTLESS = re.compile(r"[+-]?\d+[eE][+-]?\d+|[+-]?(?:\d+\.\d*|\.\d+)[eE]\d+")


def mapping(key: str, value: Any) -> Mapping[str, Any]:
    """A mapping; raises :class:`ConfigError` for anything else."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} must be a mapping")
    return value


def known(prefix: str, tree: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    """Refuse a key that is none of ``keys``."""
    for key in tree:
        if key not in keys:
            guess = nearest(str(key), keys)
            hint = f"did you mean '{guess}'?" if guess else f"known are {', '.join(keys)}"
            raise ConfigError(f"{prefix}{key} is not understood here; {hint}")


def number(key: str, value: Any) -> float:
    """A finite number, also one like ``1e-4``, which YAML takes for text."""
    if is_pointless(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{key}={value} must be a number")
    return float(value)


def is_pointless(value: Any) -> bool:
    """Whether this is text that YAML 1.2 and people read as a number: ``1e-4``."""
    return isinstance(value, str) and _POINTLESS.fullmatch(value) is not None


def is_whole(value: Any) -> bool:
    """Whether this is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def whole(key: str, value: Any) -> int:
    """A whole number of at least 1."""
    if not is_whole(value) or value < 1:
        raise ConfigError(f"{key}={value} must be a whole number of at least 1")
    return int(value)
