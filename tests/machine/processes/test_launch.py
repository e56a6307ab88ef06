"""What a process that starts must not see is hidden from it, and comes back, whoever else starts one."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from a2c.machine.processes.launch import ONE_THREAD, single_threaded, without_main_module


@pytest.mark.parametrize("hide", [without_main_module, single_threaded])
def test_two_threads_that_start_processes_leave_everything_as_it_was(
    hide: Callable[[], AbstractContextManager[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ONE_THREAD:
        monkeypatch.delenv(name, raising=False)
    main = sys.modules["__main__"]
    inside, over = threading.Event(), threading.Event()

    def start_another() -> None:
        with hide():
            inside.set()
            over.wait()

    other = threading.Thread(target=start_another)
    with hide():
        other.start()
        inside.wait(0.2)  # what keeps it out is only that this thread is inside
    over.set()
    other.join()
    assert sys.modules["__main__"] is main
    assert not set(ONE_THREAD) & set(os.environ)
