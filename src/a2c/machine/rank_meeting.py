"""Meet the other processes that torchrun has started."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed
from torch.distributed import FileStore, PrefixStore  # type: ignore[attr-defined]
from torch.distributed import rendezvous as _rendezvous  # type: ignore[attr-defined]

from a2c.errors import RankFailure
from a2c.machine.cores import cores_of_ranks
from a2c.machine.processes.spin import SPIN
from a2c.machine.rank_group import Ranks
from a2c.machine.rank_place import Place, ranks_on_machine
from a2c.machine.rank_session import agree
from a2c.machine.shared_sums import MissedError, SharedSums, shared_sums

LEAVING = 10.0  # seconds that the first rank, whose process may hold the store, waits for the others


def log_to(path: Path) -> None:
    """From now on, what this process prints goes to a file: the first rank has the screen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(file.fileno(), stream.fileno())


@contextlib.contextmanager
def met(place: Place, timeout: float, files: Path | None = None) -> Iterator[Ranks]:
    """All ranks, for as long as the block lasts.

    Args:
        place: of this process.
        timeout: seconds that a rank may let the others wait.
        files: where ranks of one machine meet, a folder that only its user can read; None: by torchrun's store, which
            listens on the network.

    Raises:
        RankFailure: not all of them came.
    """
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")  # else a rank that is missed is found by no exception
    limit = timedelta(seconds=timeout)
    try:
        if files is None:
            store, _, _ = next(_rendezvous("env://", place.rank, place.size, timeout=limit))
        else:
            store = FileStore(str(files / "store"), place.size)
        store = PrefixStore(f"session-{agree(store, place.rank, place.size, timeout)}", store)
        distributed.init_process_group(
            backend, store=PrefixStore("torch", store), rank=place.rank, world_size=place.size, timeout=limit
        )
    except (RuntimeError, ValueError) as error:
        raise _not_met(place, error) from error
    try:
        shared, own = _shared(place, store, timeout), PrefixStore("a2c", store)
        group = distributed.group.WORLD
        with contextlib.closing(Ranks(place.rank, place.size, group, own, timeout, place.local, shared)) as ranks:
            yield ranks
            with contextlib.suppress(RankFailure):  # all is done
                ranks.leave(LEAVING)
    finally:
        distributed.destroy_process_group()


def _shared(place: Place, store: PrefixStore, timeout: float) -> SharedSums | None:
    """The sums in shared memory; None: the ranks are on several machines, or their system has none."""
    if not 1 < place.size == ranks_on_machine() or not hasattr(socket, "send_fds"):
        return None
    spin = SPIN if place.size <= cores_of_ranks() else 0.0  # with workers that need the cores, too, it soon gives up
    try:
        return shared_sums(place.rank, place.size, PrefixStore("shared", store), timeout, spin)
    except (OSError, MissedError) as error:
        raise _not_met(place, error) from error


def _not_met(place: Place, error: Exception) -> RankFailure:
    return RankFailure(f"the {place.size} ranks did not meet: {str(error).partition(chr(10))[0]}")
