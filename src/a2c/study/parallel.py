"""The same measurement for many seeds, side by side."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from multiprocessing import connection
from typing import TypeVar

from a2c.machine.cores import usable_cores
from a2c.machine.processes.launch import single_threaded, without_main_module

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(function: Callable[[Item], Result], items: Iterable[Item], jobs: int | None = None) -> list[Result]:
    """Call ``function`` on every item, in up to ``jobs`` processes of one thread each; returns results in order.

    If a call fails, or this process is interrupted, the other processes end at once; none outlives this one.

    Args:
        function: defined in a module. Its argument and result must pickle, and it must not start processes.
        items: one call each.
        jobs: None is one per usable core; 1 stays in this process.

    Raises:
        Exception: what the first call to fail raised.
    """
    todo = list(items)
    jobs = min(jobs or usable_cores(), len(todo))
    if jobs <= 1:
        return [function(item) for item in todo]
    others = set(multiprocessing.active_children())
    with (
        without_main_module(),
        single_threaded(),
        ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _leave_with_parent) as pool,
    ):
        try:
            with _born_deaf():
                futures = [pool.submit(function, item) for item in todo]
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()  # raises what the first call to fail raised
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


@contextlib.contextmanager
def _born_deaf() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C, which reaches the whole group: this one decides when they end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are not ours to set
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave_with_parent() -> None:
    """End this process when its parent ends, however that happens."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
