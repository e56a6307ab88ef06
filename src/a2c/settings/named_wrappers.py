"""``env.wrappers``: what stands around an environment, in the order in which it is put there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from a2c.errors import ConfigError

_NAME = re.compile(r"[A-Za-z_][\w.]*(:|\.)[A-Za-z_][\w.]*")
_SAYS = (
    "must be a name, like gymnasium.wrappers.FlattenObservation or my_module:MyWrapper, "
    "or one with arguments, {my_module:MyWrapper: {skip: 4}}"
)


@dataclass(frozen=True, slots=True)
class NamedWrapper:
    """A class or function ``(env, **arguments) -> env``."""

    module: str
    name: str  # in the module
    arguments: dict[str, Any]

    @property
    def label(self) -> str:
        """``module:name``."""
        return f"{self.module}:{self.name}"

    @property
    def of_gymnasium(self) -> bool:
        """Whether it is one of Gymnasium's own wrappers, which do nothing but wrap; RecordVideo writes files."""
        return self.module == "gymnasium.wrappers" and not self.name.endswith("RecordVideo")


def named_wrappers(wrappers: Sequence[Any]) -> list[NamedWrapper]:
    """Read ``env.wrappers``.

    Args:
        wrappers: each ``module:Name``, ``package.module.Name``, or one of these with arguments, ``{name: {...}}``.

    Raises:
        ConfigError: one of them is something else.
    """
    return [_read(one, f"env.wrappers[{index}]") for index, one in enumerate(wrappers)]


def _read(one: Any, where: str) -> NamedWrapper:
    name, arguments = next(iter(one.items())) if isinstance(one, Mapping) and len(one) == 1 else (one, None)
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(arguments, Mapping | None):
        raise ConfigError(f"{where}={one!r} {_SAYS}")
    module, colon, attribute = name.partition(":")
    if not colon:
        module, _, attribute = name.rpartition(".")
    return NamedWrapper(module, attribute, {str(key): value for key, value in (arguments or {}).items()})
