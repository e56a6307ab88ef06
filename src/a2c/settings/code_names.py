"""Names of code in settings, like ``my_package.nets:MyTorso``: how they look, and what they are good for.

No torch and no omegaconf, so that worker processes import this in milliseconds.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

# What a program gave as an object that no import finds has < and > in its name: my_script:main.<locals>.Mine.
CODE_NAME = r"[\w.]+:[\w.<>]+"
SAYS_CODE_NAME = "module:Name of your own"


def importable(name: str) -> bool:
    """Whether another process finds it by its name: what is of a script, or within a function, it does not."""
    return not name.startswith("__main__:") and "<" not in name


def name_of(thing: Any) -> str:
    """``module:Name`` of a class or function; ``module:<Name>`` where an import would not find it there.

    Of any other object it is that of its type.
    """
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    module, name = str(named.__module__), re.sub(r"[^\w.<>]", "", named.__qualname__)
    found = "<" not in name and attribute(module, name) is thing
    return f"{module}:{name}" if found or "<" in name else f"{module}:<{name}>"


def attribute(module: str, name: str) -> Any:
    """What a module that is loaded holds under a name like ``Outer.Inner``; None: nothing."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def by_part(encoders: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """``network.encoders`` by the names of parts: ``network.encoders.goal.0=...`` is of the part ``goal.0``."""
    for key, value in encoders.items():
        if isinstance(value, Mapping):
            yield from by_part(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
