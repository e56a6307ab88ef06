"""Plain data with NumPy arrays and bytes in it, as checkpoints can hold them: in tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

_BYTES, _ARRAY = "bytes", "array"  # tags of what was no tensor before


def packed(value: Any) -> Any:
    """A copy for a checkpoint: arrays and bytes as tensors with a tag, NumPy numbers as Python's.

    Args:
        value: None, numbers, text, bytes, arrays, tensors, and dicts (with text, numbers or tuples of them as keys),
            lists and tuples of these.

    Raises:
        TypeError: there is something else in it.
    """
    if value is None or isinstance(value, bool | int | float | str | torch.Tensor):
        return value
    if isinstance(value, bytes | bytearray):
        return (
            _BYTES,
            torch.frombuffer(bytearray(value), dtype=torch.uint8) if value else torch.empty(0, dtype=torch.uint8),
        )
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise TypeError(f"an array of dtype {value.dtype} is no plain data")
        raw = np.ascontiguousarray(value)
        return (
            _ARRAY,
            torch.from_numpy(raw.view(np.uint8).reshape(-1).copy()) if raw.size else torch.empty(0, dtype=torch.uint8),
            str(raw.dtype),
            list(raw.shape),
        )
    if isinstance(value, Mapping):
        return {key: packed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [packed(part) for part in value]
    if isinstance(value, tuple):
        return ("tuple", [packed(part) for part in value])
    raise TypeError(f"a {type(value).__name__} is no plain data")


def unpacked(value: Any) -> Any:
    """What :func:`packed` was given."""
    if isinstance(value, dict):
        return {key: unpacked(part) for key, part in value.items()}
    if isinstance(value, list):
        return [unpacked(part) for part in value]
    if not isinstance(value, tuple):
        return value
    tag, data, *shape = value
    if tag == _BYTES:
        return data.numpy().tobytes()
    if tag == _ARRAY:
        return np.frombuffer(data.numpy().tobytes(), np.dtype(shape[0])).reshape(shape[1]).copy()
    return tuple(unpacked(part) for part in data)
