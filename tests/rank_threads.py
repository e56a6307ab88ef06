"""Several ranks in one process: a thread each, joined by Gloo as processes are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from torch import distributed

from a2c.machine.rank_group import Ranks

TIMEOUT = 300.0  # seconds; a busy machine lets a thread wait


def together(size: int, work: Callable[[Ranks], Any], timeout: float = TIMEOUT) -> list[Any]:
    """What ``work`` returned on each of ``size`` ranks, in order, or raised: the first error in time is raised here."""
    store, given, errors = distributed.HashStore(), [None] * size, []

    def run(rank: int) -> None:
        try:
            own = distributed.PrefixStore("torch", store)
            ranks = Ranks(
                rank,
                size,
                distributed.ProcessGroupGloo(own, rank, size, timedelta(seconds=timeout)),
                distributed.PrefixStore("a2c", store),
                timeout,
            )
            with ranks.telling():
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
