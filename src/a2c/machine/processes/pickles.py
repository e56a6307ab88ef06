"""Pickles between the main process and its workers."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle  # type: ignore[import-untyped]


def dumps(value: Any) -> bytes:
    """Pickle by plain pickle, which is faster; where that fails (a class of ``__main__``, a lambda), by cloudpickle."""
    try:
        return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception:
        return dumps_by_value(value)


def dumps_by_value(value: Any) -> bytes:
    """Pickle so that a worker, which does not import the user's script, finds what the script defines."""
    return bytes(cloudpickle.dumps(value))


def loads(data: bytes) -> Any:
    """Unpickle bytes that this program's own processes wrote; never call it on any others."""
    return pickle.loads(data)  # noqa: S301


class Pickled:
    """A value that travels by cloudpickle; a worker unpickles it in :meth:`open`, where it can report a failure."""

    def __init__(self, value: Any) -> None:
        self._value = value
        self._bytes: bytes | None = None

    def __getstate__(self) -> bytes:
        return dumps_by_value(self._value)

    def __setstate__(self, data: bytes) -> None:
        self._bytes = data

    def open(self) -> Any:
        """The value: in a worker unpickled now, unless it never travelled (fork)."""
        return self._value if self._bytes is None else loads(self._bytes)
