"""Plain data: what a checkpoint can hold, and what ``get_state`` of an environment may give."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """A copy that shares nothing with ``value``, in which NumPy's numbers are Python's.

    Args:
        value: None, numbers, text, bytes, arrays of numbers, tensors, and dicts (with text, numbers or tuples of them
            as keys), lists and tuples of these.

    Raises:
        TypeError: there is something else in it.
    """
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return value.copy()
    if isinstance(value, np.generic) and type(value.item()) in (bool, int, float, str, bytes):
        return value.item()
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    torch = sys.modules.get("torch")  # whoever has no torch has no tensors
    if torch is not None and isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    kind = f"an array of dtype {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    raise TypeError(f"{kind} is no plain data")
