"""Several ranks in one process: a thread each, joined as processes are."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from torch import distributed

from a2c.machine.rank_group import Ranks
from a2c.machine.shared_sums import shared_sums

TIMEOUT = 300.0  # seconds; a busy machine lets a thread wait


def together(
    size: int, work: Callable[[Ranks], Any], timeout: float = TIMEOUT, *, one_machine: bool = True
) -> list[Any]:
    """What ``work`` returned on each of ``size`` ranks, in order, or raised: the first error in time is raised here.

    On one machine they add in shared memory, on several by Gloo.
    """
    store, given, errors = distributed.HashStore(), [None] * size, []

    def run(rank: int) -> None:
        try:
            own = distributed.PrefixStore("torch", store)
            ranks = Ranks(
                rank,
                size,
                distributed.ProcessGroupGloo(own, rank, size, timedelta(seconds=timeout)),  # only they hold it
                distributed.PrefixStore("a2c", store),
                timeout,
                shared=shared_sums(rank, size, store, timeout, 0.0) if one_machine and size > 1 else None,
            )
            with contextlib.closing(ranks), ranks.telling():
                given[rank] = work(ranks)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(rank,), daemon=True, name=f"rank-{rank}") for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive(), "a rank waits for ever"
    if errors:
        raise errors[0]
    return given
