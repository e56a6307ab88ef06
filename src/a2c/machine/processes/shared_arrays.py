"""Memory that the main process and its workers share, without a name that could be left behind."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Mapping
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Fields = Mapping[str, tuple[tuple[int, ...], DTypeLike]]


class SharedArrays:
    """Named numpy arrays in one anonymous mapping, each starting on a page of its own.

    Page alignment lets CUDA lock one array for direct transfer. Nothing shows up in /dev/shm, so that even a SIGKILL
    leaves no file. Pass it to a worker as an argument of its process.

    Args:
        fields: name -> (shape, dtype) of each array; all start as zeros.
    """

    def __init__(self, fields: Fields) -> None:
        self._fields = dict(fields)
        self._fd = anonymous_file(_layout(self._fields)[1])
        self._map()

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def close_file(self) -> None:
        """Close the file descriptor once no further process will attach; the memory stays mapped."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _map(self) -> None:
        offsets, size = _layout(self._fields)
        memory = mmap.mmap(self._fd, size)
        self._arrays: dict[str, NDArray[Any]] = {
            name: np.ndarray(shape, dtype, buffer=memory, offset=offsets[name])
            for name, (shape, dtype) in self._fields.items()
        }

    def __getstate__(self) -> dict[str, Any]:
        return {"fields": self._fields, "fd": DupFd(self._fd)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._fields = state["fields"]
        self._fd = state["fd"].detach()
        self._map()
        self.close_file()


def _layout(fields: Fields) -> tuple[dict[str, int], int]:
    """Byte offset of each array, a multiple of the page size, and the size of the whole."""
    offsets: dict[str, int] = {}
    end = 0
    for name, (shape, dtype) in fields.items():
        offsets[name] = end
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        end += max(1, -(-size // mmap.PAGESIZE)) * mmap.PAGESIZE
    return offsets, end


def anonymous_file(size: int) -> int:
    """A file descriptor of ``size`` zero bytes that no directory lists."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("a2c")
    else:  # macOS has no memfd: a file that is unlinked before anything is in it
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd
