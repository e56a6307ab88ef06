"""What a test registers, from a module of its own, would be sent to the workers of later tests."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import gymnasium as gym


def forget(ids: Iterable[str], modules: Iterable[str]) -> None:
    """Take back registrations, and the modules that made them."""
    for name in ids:
        gym.registry.pop(name, None)
    for name in modules:
        sys.modules.pop(name, None)
