"""The last infos of episodes, wherever a vector environment leaves them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from a2c.storage.plain import plain

if TYPE_CHECKING:
    from a2c.envs.backends import Backend

Keys = Collection[str] | None  # None: all
ENDED = "ended_infos"  # environment -> info: as our own vector environments tell them, which Gymnasium would merge


def plain_info(info: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """A copy of what is plain data in an info, of these keys: it can be pickled, and a checkpoint can hold it."""
    found = {}
    for key, value in info.items():
        if isinstance(key, str) and (keys is None or key in keys):
            try:
                found[key] = plain(value)
            except TypeError:
                continue
    return found


class LastInfos:
    """Notes them where somebody asks.

    Args:
        backend: what steps the environments.
        same_step: how they reset.
    """

    def __init__(self, backend: Backend, same_step: bool) -> None:
        self._backend, self._same_step = backend, same_step
        self._keys: Keys = ()

    def note(self, keys: Keys) -> None:
        """From now on note these keys, where they are plain data; None: all."""
        self._keys = keys
        self._backend.note_ends(keys)

    def of(self, infos: Mapping[str, Any], done: NDArray[np.bool_]) -> dict[int, dict[str, Any]] | None:
        """The infos with which the episodes ``done``, a mask ``[N]``, ended in a step; None: nobody asks."""
        if self._keys is not None and not self._keys:
            return None
        return final_infos(infos, done.nonzero()[0].tolist(), self._keys, self._same_step)


def final_infos(infos: Mapping[str, Any], rows: Iterable[int], keys: Keys, same_step: bool) -> dict[int, Any]:
    """The infos with which the episodes of ``rows`` ended.

    Args:
        infos: that a step gave.
        rows: environments whose episode it ended.
        keys: that anybody wants.
        same_step: the environments have been reset since, and the others in ``infos`` are of the next episodes.
    """
    if ENDED in infos:
        return {row: plain_info(infos[ENDED].get(row, {}), keys) for row in rows}
    batch = infos.get("final_info", {} if same_step else infos)
    return {row: plain_info(_of(batch, row), keys) for row in rows}


def _of(batch: Any, row: int) -> Mapping[str, Any]:
    """The info of one environment, out of those that Gymnasium has merged: arrays ``[N]``, with masks ``_key``."""
    if isinstance(batch, np.ndarray):  # as before Gymnasium 1.0: one dict each
        return batch[row] or {}
    found: dict[str, Any] = {}
    for key, values in batch.items():
        mask = batch.get(f"_{key}")
        is_mask = key.startswith("_") and key[1:] in batch
        if is_mask or (mask is not None and not mask[row]):
            continue
        if isinstance(values, Mapping):
            found[key] = _of(values, row)
        elif isinstance(values, np.ndarray | list | tuple) and row < len(values):
            found[key] = values[row]
    return found
