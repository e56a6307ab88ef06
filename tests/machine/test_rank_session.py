"""Ranks of one start agree on a name, whatever earlier starts have left in the store."""

from __future__ import annotations

import json
import threading
import time

import pytest
from torch.distributed import HashStore

from a2c.errors import RankFailure
from a2c.machine.rank_session import agree


def agreed(store: HashStore, size: int, late: int | None = None) -> set[str]:
    found: list[str] = []

    def come(rank: int) -> None:
        if rank == late:
            time.sleep(0.3)
        found.append(agree(store, rank, size, 60.0))

    threads = [threading.Thread(target=come, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == size
    return set(found)


@pytest.mark.parametrize("late", [None, 0, 2])
def test_all_have_one_name_and_every_start_another(late):
    store = HashStore()
    names = [agreed(store, size, late if late is None or late < size else 0) for size in (3, 3, 2, 4, 1)]
    assert all(len(name) == 1 for name in names)
    assert len(set.union(*names)) == 5


def test_what_a_rank_said_that_died_on_the_way_misleads_nobody():
    store = HashStore()
    store.set("word/1", "of one that died")
    store.set("name", json.dumps({"name": "old", "words": {"1": "of one that died"}}))
    (name,) = agreed(store, 2)
    assert name != "old"


def test_who_does_not_come_is_not_waited_for_for_ever():
    with pytest.raises(RankFailure, match=r"the 2 ranks did not meet in 0.1 s"):
        agree(HashStore(), 0, 2, 0.1)
