"""The same measurement for many seeds, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from a2c.cores import usable_cores
from a2c.envs.launch import multiprocessing_context, single_threaded, without_main_module

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(function: Callable[[Item], Result], items: Iterable[Item], jobs: int | None = None) -> list[Result]:
    """``function`` of every item, in order, in up to ``jobs`` processes of one thread each.

    Args:
        function: of a module, with arguments and results that can be pickled; it must start no processes of its own.
        items: one call each.
        jobs: None is one per usable core; 1 stays in this process.
    """
    todo = list(items)
    jobs = min(jobs or usable_cores(), len(todo))
    if jobs <= 1:
        return [function(item) for item in todo]
    with (
        without_main_module(),
        single_threaded(),
        ProcessPoolExecutor(jobs, mp_context=multiprocessing_context("spawn")) as pool,
    ):
        return list(pool.map(function, todo))
