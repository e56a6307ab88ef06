"""Several ranks in one process: a thread each, joined by Gloo as processes are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from torch import distributed

from a2c.machine.ranks import Ranks

TIMEOUT = 30.0  # seconds; a busy machine lets a thread wait


def together(size: int, work: Callable[[Ranks], Any], timeout: float = TIMEOUT) -> list[Any]:
    """What ``work`` returned on each of ``size`` ranks, in order, or raised: the first error in time is raised here."""
    store, given, errors = distributed.HashStore(), [None] * size, []

    def run(rank: int) -> None:
        try:
            own = distributed.PrefixStore("torch", store)
            group = distributed.ProcessGroupGloo(own, rank, size, timedelta(seconds=timeout))
            given[rank] = work(Ranks(rank, size, group, distributed.PrefixStore("a2c", store), timeout))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive(), "a rank waits for ever"
    if errors:
        raise errors[0]
    return given
