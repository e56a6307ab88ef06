"""Gymnasium's spaces as plain data, for checkpoints: nothing is unpickled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple
from numpy.typing import NDArray


def to_plain(space: Space[Any]) -> dict[str, Any]:
    """A space of those that we convert; others keep their text alone, for nobody reads their values."""
    kind = type(space).__name__
    if isinstance(space, Dict):
        return {"kind": "Dict", "parts": {key: to_plain(part) for key, part in space.spaces.items()}}
    if isinstance(space, Tuple):
        return {"kind": "Tuple", "parts": [to_plain(part) for part in space.spaces]}
    if isinstance(space, Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": str(space.dtype)}
    if isinstance(space, MultiDiscrete):
        nvec, start = space.nvec.tolist(), np.asarray(space.start).tolist()
        return {"kind": "MultiDiscrete", "nvec": nvec, "start": start, "dtype": str(space.dtype)}
    if isinstance(space, MultiBinary):
        return {"kind": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.shape)}
    if isinstance(space, Box):
        low, high = _bound(space.low), _bound(space.high)
        return {"kind": "Box", "low": low, "high": high, "shape": list(space.shape), "dtype": str(space.dtype)}
    return {"kind": "other", "text": f"{kind}: {space!s:.200}"}


def from_plain(data: dict[str, Any]) -> Space[Any]:
    """The space that :func:`to_plain` gave."""
    kind = data["kind"]
    if kind == "Dict":
        return Dict([(key, from_plain(part)) for key, part in data["parts"].items()])
    if kind == "Tuple":
        return Tuple([from_plain(part) for part in data["parts"]])
    if kind == "Discrete":
        return Discrete(data["n"], start=data["start"], dtype=_dtype(data))
    if kind == "MultiDiscrete":
        return MultiDiscrete(np.array(data["nvec"]), start=np.array(data["start"]), dtype=_dtype(data))
    if kind == "MultiBinary":
        return MultiBinary(data["n"])
    if kind == "Box":
        shape, dtype = tuple(data["shape"]), np.dtype(data["dtype"])
        low, high = (np.broadcast_to(np.array(data[bound], dtype), shape) for bound in ("low", "high"))
        return Box(low, high, shape, dtype.type)
    return Unread(data["text"])


def left_out(data: dict[str, Any], name: str = "") -> list[str]:
    """The names of the parts of a space that numbers do not stand for, such as ``goal.text``."""
    return [leaf for leaf, kind in _leaves(data, name) if kind == "other"]


def is_tabular(data: dict[str, Any] | None) -> bool:
    """Whether what is read of a space, if there is one, is a choice, or several, and nothing else."""
    return data is not None and {kind for _, kind in _leaves(data)} <= {"Discrete", "MultiDiscrete", "other"}


def _leaves(data: dict[str, Any], name: str = "") -> Iterator[tuple[str, str | None]]:
    """Name and kind of each part that has no parts; an empty mapping has one of no kind."""
    if "parts" not in data:
        yield name, data.get("kind")
        return
    parts = data["parts"]
    for key, part in parts.items() if isinstance(parts, dict) else enumerate(parts):
        yield from _leaves(part, f"{name}.{key}" if name else str(key))


class Unread(Space[Any]):
    """In the place of a space whose values nobody reads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


def _bound(bound: NDArray[Any]) -> Any:
    """One number where all are the same: those of an image are many."""
    return bound.reshape(-1)[0].item() if bound.size and (bound == bound.reshape(-1)[0]).all() else bound.tolist()


def _dtype(data: dict[str, Any]) -> Any:
    return np.dtype(data["dtype"]).type
