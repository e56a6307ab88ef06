"""What a test registers, from a module of its own, would be sent to the workers of later tests."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator

import gymnasium as gym


def forget(ids: Iterable[str], modules: Iterable[str]) -> None:
    """Take back registrations, and the modules that made them."""
    for name in ids:
        gym.registry.pop(name, None)
    for name in modules:
        sys.modules.pop(name, None)


@contextlib.contextmanager
def forgetting_own() -> Iterator[None]:
    """Forget afterwards what became known meanwhile by a name of ours; what a module registers stays, as it does."""
    before = set(gym.registry)
    yield
    for name in set(gym.registry) - before:
        if ":" in name or name.startswith("EnvPool/"):
            del gym.registry[name]
