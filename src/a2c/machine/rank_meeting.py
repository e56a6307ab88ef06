"""Meet the other processes that torchrun has started."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import torch
from torch import distributed

from a2c.errors import RankFailure
from a2c.machine.rank_place import Place
from a2c.machine.ranks import Ranks


@contextlib.contextmanager
def met(place: Place, timeout: float) -> Iterator[Ranks]:
    """All ranks, for as long as the block lasts.

    Args:
        place: of this process.
        timeout: seconds that a rank may let the others wait.

    Raises:
        RankFailure: not all of them came.
    """
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    limit = timedelta(seconds=timeout)
    try:
        store, rank, size = next(distributed.rendezvous("env://", place.rank, place.size, timeout=limit))
        # The store outlives a restart, and with it what was said before.
        store = distributed.PrefixStore(f"session-{place.restarts}", store)
        distributed.init_process_group(
            backend, store=distributed.PrefixStore("torch", store), rank=rank, world_size=size, timeout=limit
        )
    except (RuntimeError, ValueError) as error:
        raise RankFailure(f"the {place.size} ranks did not meet: {str(error).partition(chr(10))[0]}") from error
    own = distributed.PrefixStore("a2c", store)
    try:
        yield Ranks(rank, size, distributed.group.WORLD, own, timeout, place.local)
    finally:
        distributed.destroy_process_group()
