"""Plain data with NumPy arrays and bytes in it, as checkpoints can hold them: in tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from a2c.storage.plain import plain

_BYTES, _ARRAY, _TUPLE = "bytes", "array", "tuple"  # tags of what was no tensor before


def packed(value: Any) -> Any:
    """A copy for a checkpoint: arrays and bytes as tensors with a tag; arguments and errors of :func:`plain`."""
    return _packed(plain(value))


def _packed(value: Any) -> Any:
    if isinstance(value, bytes):
        return (_BYTES, _to_tensor(value))
    if isinstance(value, np.ndarray):
        return (_ARRAY, _to_tensor(value.tobytes()), str(value.dtype), list(value.shape))
    if isinstance(value, dict):
        return {key: _packed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_packed(part) for part in value]
    if isinstance(value, tuple):
        return (_TUPLE, [_packed(part) for part in value])
    return value


def _to_tensor(raw: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8) if raw else torch.empty(0, dtype=torch.uint8)


def unpacked(value: Any) -> Any:
    """What :func:`packed` was given, but for what :func:`plain` changes."""
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
