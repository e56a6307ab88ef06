"""Memory on host and device, and the copies from one to the other."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a2c.machine.device import on_host


class HostBlock:
    """Arrays of one shape in one block of memory, so that one copy takes them all to the device.

    Args:
        dtypes: name of each array -> its dtype; the widest first, for alignment.
        shape: of every array.
        device: of :attr:`tensors`; on the CPU they share the memory of the arrays.

    Attributes:
        arrays: to write on the host; page-locked if the device is CUDA.
        tensors: to read on the device after :meth:`send`.
    """

    def __init__(self, dtypes: dict[str, Any], shape: tuple[int, ...], device: torch.device) -> None:
        sizes = [int(np.prod(shape)) * np.dtype(dtype).itemsize for dtype in dtypes.values()]
        self._on_host = on_host(device)
        self._host = torch.zeros(sum(sizes), dtype=torch.uint8, pin_memory=device.type == "cuda")
        self._device = self._host if self._on_host else torch.empty_like(self._host, device=device)
        self.arrays: dict[str, NDArray[Any]] = {}
        self.tensors: dict[str, Tensor] = {}
        start = 0
        for (name, dtype), size in zip(dtypes.items(), sizes, strict=True):
            array = self._host.numpy()[start : start + size].view(dtype).reshape(shape)
            kind = torch.from_numpy(array).dtype
            self.arrays[name] = array
            self.tensors[name] = self._device[start : start + size].view(kind).view(shape)
            start += size

    def send(self) -> dict[str, Tensor]:
        """Start the copy, without waiting; leave the arrays as they are until the device has finished it."""
        if not self._on_host:
            self._device.copy_(self._host, non_blocking=True)
        return self.tensors


def page_locked(array: NDArray[Any], notify: Callable[[str], None]) -> Tensor | None:
    """Lock an array in memory, so that the GPU reads it without another copy; the lock ends with the tensor.

    Args:
        array: of any shape.
        notify: called with one line if the driver refuses.

    Returns:
        A tensor on the array's own memory; None if it is empty or the driver refuses.
    """
    if array.nbytes == 0:  # to CUDA an error
        return None
    runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    error = int(runtime.cudaHostRegister(array.ctypes.data, array.nbytes, 0))
    if error != 0:
        _forget_last_error()
        notify(f"memory of observations cannot be page-locked (CUDA error {error}); each step copies it once more")
        return None
    tensor = torch.from_numpy(array)
    weakref.finalize(tensor, runtime.cudaHostUnregister, array.ctypes.data)
    return tensor


def _forget_last_error() -> None:
    """Take the error of a failed call out of the runtime, which would otherwise give it to the next kernel's launch."""
    with contextlib.suppress(RuntimeError):
        torch.empty(1, dtype=torch.float32, device="cuda").fill_(0.0)


def sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy a small array to the device; with CUDA the host does not wait."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
