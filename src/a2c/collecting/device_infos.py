"""``log_info`` on the device: sums over the episodes that end of what their last infos say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class DeviceInfos:
    """Sums up until the host reads them; nothing else waits for the device.

    Args:
        keys: of the infos.
        device: of the sums.
        same_step: last infos are in ``infos["final_info"]``; else they are the infos of the step.
    """

    def __init__(self, keys: Sequence[str], device: torch.device, *, same_step: bool) -> None:
        self._keys, self._same_step = keys, same_step
        dtype = torch.float32 if device.type == "mps" else torch.float64  # Metal has no float64
        self._sums = torch.zeros(len(keys), 2, dtype=dtype, device=device)  # of the values, and over how many episodes

    @property
    def tensors(self) -> list[Tensor]:
        """What :meth:`add` changes, in place."""
        return [self._sums] if self._keys else []

    def add(self, infos: Mapping[str, Any], terminated: Tensor, truncated: Tensor) -> None:
        """Add the episodes that a step ended.

        Args:
            infos: that it gave; of each key a tensor ``[N]``.
            terminated, truncated: ``[N]`` bool.
        """
        last = infos.get("final_info", {}) if self._same_step else infos
        for sums, key in zip(self._sums, self._keys, strict=True):
            if isinstance(values := last.get(key), Tensor):
                ended = (terminated | truncated).to(sums.dtype)
                found = torch.where(ended > 0, values.to(sums.dtype), 0.0)  # elsewhere it may be anything
                sums.add_(torch.stack((found.sum(), ended.sum())))

    def drain(self) -> dict[str, tuple[float, int]]:
        """Sum and count of each key since the last call; waits for the device."""
        if not self._keys:
            return {}
        read = {key: (total, int(count)) for key, (total, count) in zip(self._keys, self._sums.tolist(), strict=True)}
        self._sums.zero_()
        return read
