"""A ready vector environment of the user's: trained on as it is, and left open."""

from __future__ import annotations

from typing import Any, NoReturn

from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv, VectorWrapper

from a2c.errors import ConfigError

AnyVectorEnv = VectorEnv[Any, Any, Any]


class Lent(VectorWrapper[Any, Any, Any]):
    """Whoever made it closes it. Nothing but Gymnasium's own methods is used of it, so that it stays as it was."""

    def close(self, **_: Any) -> None:
        """Do nothing."""


class Ready:
    """What a registration has for a maker of vector environments where there is one already.

    Args:
        envs: the vector environment; no other process gets it.
    """

    def __init__(self, envs: AnyVectorEnv) -> None:
        self._envs = envs

    def __call__(self, num_envs: int) -> Lent:
        """The vector environment itself; raises ConfigError for another number of environments."""
        if num_envs != self._envs.num_envs:
            raise ConfigError(f"num_envs={num_envs}, but env= is a vector environment of {self._envs.num_envs}")
        return Lent(self._envs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Ready:
        return self  # Gymnasium copies registrations

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ready vector environment stays in its process")


def ready(spec: EnvSpec) -> Ready | None:
    """The ready vector environment behind a registration, if there is one."""
    maker: Any = spec.vector_entry_point
    return maker if isinstance(maker, Ready) else None
