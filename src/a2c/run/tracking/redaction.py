"""Keeps secrets out of what a run leaves behind."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

HIDDEN = "***"
_SECRET = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)


def redact(settings: Any, name: str = "") -> Any:
    """A copy of nested settings where every value under a secret-looking name reads ``***``.

    A name looks secret if it contains key, token, secret, passw or credential, in upper or lower case, at any depth:
    hiding a harmless value costs little, leaking a secret a lot.

    Args:
        settings: mappings, lists and plain values.
        name: the key that ``settings`` stands under.
    """
    if _SECRET.search(name) and settings is not None:
        return HIDDEN
    if isinstance(settings, Mapping):
        return {key: redact(value, str(key)) for key, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [redact(value) for value in settings]
    return settings


def redact_argument(argument: str) -> str:
    """A command-line override without the value of a secret: ``env.kwargs.api_key=***``."""
    name, equals, _ = argument.partition("=")
    return f"{name}={HIDDEN}" if equals and _SECRET.search(argument) else argument


@contextlib.contextmanager
def redacted_argv() -> Iterator[None]:
    """Hide secrets from a library that copies the command line of this process into its records."""
    original = sys.argv
    sys.argv = [redact_argument(argument) for argument in original]
    try:
        yield
    finally:
        sys.argv = original
