"""Names of code in settings, like ``my_package.nets:MyTorso``: how they look, and what they are good for.

No torch and no omegaconf, so that worker processes import this in milliseconds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

# What a program gave as an object that no import finds is written in <>: my_script:<lambda>.
CODE_NAME = r"[\w.]+:(\w+|<.*>)"
SAYS_CODE_NAME = "module:Name of your own"


def importable(name: str) -> bool:
    """Whether another process finds it by its name: what is of a script, or within a function, it does not."""
    module, _, within = name.partition(":")
    return module != "__main__" and "<" not in within


def name_of(made: Any) -> str:
    """The name of a function or class: ``module:Name``, or ``module:<Name>`` where that does not find it."""
    module = getattr(made, "__module__", None) or type(made).__module__
    name = getattr(made, "__qualname__", type(made).__name__).rpartition(".")[2].strip("<>")
    return f"{module}:{name}" if getattr(sys.modules.get(module), name, None) is made else f"{module}:<{name}>"


def by_part(encoders: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``network.encoders`` by the names of parts: ``network.encoders.goal.0=...`` is of the part ``goal.0``."""
    for key, value in encoders.items():
        if isinstance(value, Mapping):
            yield from by_part(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
