"""Secrets stay out of what a run leaves behind."""

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

    Secret-looking is a name that holds key, token, secret, passw or credential, in any case, at any depth: a
    harmless value hidden costs little, a leaked one a lot.
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
