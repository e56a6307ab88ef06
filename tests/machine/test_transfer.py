"""Memory that a GPU reads: locked where the driver allows it, copied where not, and said aloud."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import torch

from a2c.machine.transfer import page_locked

ALREADY_REGISTERED = 712


class Runtime:
    """CUDA's runtime as far as page-locking goes; a refusal stays behind as the last error, as in the real one."""

    def __init__(self, refuses: int = 0) -> None:
        self.refuses, self.last_error = refuses, 0
        self.locked: dict[int, int] = {}

    def cudaHostRegister(self, pointer: int, size: int, flags: int) -> int:  # noqa: N802
        if self.refuses:
            self.last_error = self.refuses
        else:
            self.locked[pointer] = size
        return self.refuses

    def cudaHostUnregister(self, pointer: int) -> int:  # noqa: N802
        del self.locked[pointer]
        return 0


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    found = Runtime()
    empty = torch.empty

    class Launched:
        """What a kernel's launch checks."""

        def fill_(self, value: float) -> None:
            error, found.last_error = found.last_error, 0
            if error:
                raise RuntimeError(f"CUDA error: {error}")

    def allocate(*size: int, device: Any = None, dtype: Any = None) -> Any:
        return Launched() if device == "cuda" else empty(*size)

    monkeypatch.setattr(torch.cuda, "cudart", lambda: found)
    monkeypatch.setattr(torch, "empty", allocate)
    return found


def test_the_lock_is_on_the_arrays_own_memory_and_ends_with_the_tensor(runtime: Runtime) -> None:
    array = np.zeros((3, 4), np.float32)
    tensor = page_locked(array, pytest.fail)
    assert tensor is not None
    assert runtime.locked == {array.ctypes.data: 48}
    array[1, 2] = 5
    assert tensor[1, 2] == 5
    del tensor
    gc.collect()
    assert runtime.locked == {}


def test_a_refusal_is_told_and_its_error_does_not_meet_the_next_kernel(runtime: Runtime) -> None:
    runtime.refuses = ALREADY_REGISTERED
    told: list[str] = []
    assert page_locked(np.zeros(4, np.float32), told.append) is None
    assert told == ["memory of observations cannot be page-locked (CUDA error 712); each step copies it once more"]
    torch.empty(1, device="cuda").fill_(0.0)  # raises what was left behind


def test_nothing_is_not_locked(runtime: Runtime) -> None:
    assert page_locked(np.zeros((0, 4), np.float32), pytest.fail) is None
    assert runtime.locked == {}
