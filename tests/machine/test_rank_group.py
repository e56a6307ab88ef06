"""What ranks tell each other beside their sums."""

from __future__ import annotations

import time
from typing import Any

import pytest
from torch import distributed

from a2c.errors import RankFailure
from a2c.machine import rank_group
from a2c.machine.rank_group import Ranks
from rank_threads import together


def test_what_each_rank_hands_in_comes_to_the_first_in_order():
    given = together(3, lambda ranks: ranks.hand_in({"rank": ranks.rank, "more": [None] * ranks.rank}))
    assert given[0] == [{"rank": rank, "more": [None] * rank} for rank in range(3)]
    assert given[1:] == [[], []]


def test_an_order_is_heard_however_late_it_is(tmp_path):
    """By the store of files, where ranks of one machine meet: each store ends a wait in its own way."""

    def work(ranks: Ranks) -> Any:
        own = Ranks(ranks.rank, 2, None, distributed.FileStore(str(tmp_path / "store"), 2), 1.0)
        if own.leads:
            for number in range(5):  # nobody waits until they are heard
                own.tell(number)
            time.sleep(0.5)
            own.tell("late")
            return None
        time.sleep(0.2)
        return [own.hear() for _ in range(6)]

    assert together(2, work)[1] == [0, 1, 2, 3, 4, "late"]


def test_orders_that_all_have_heard_are_deleted():
    stores = distributed.HashStore()

    def work(ranks: Ranks) -> None:
        own = Ranks(ranks.rank, 2, ranks._group, stores, 60.0)
        if own.leads:
            own.tell("begin")
            own.tell("question")
        else:
            assert [own.hear(), own.hear()] == ["begin", "question"]
        own.hand_in(ranks.rank)

    together(2, work)
    assert not stores.check(["order/0"])
    assert not stores.check(["order/1"])


def test_who_waits_for_an_order_learns_that_the_first_rank_has_failed():
    def work(ranks: Ranks) -> str:
        try:
            with ranks.telling():
                if ranks.leads:
                    raise ValueError("no disk")
                ranks.hear()
        except (RankFailure, ValueError) as error:
            return str(error)
        return ""

    assert together(2, work) == ["no disk", "rank error: rank 0 has ended: no disk"]


def test_a_rank_that_is_to_stop_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(rank_group, "SILENCE", 0.1)

    def work(ranks: Ranks) -> None:
        if not ranks.leads:
            ranks.stop_when(lambda: True)
            with pytest.raises(RankFailure, match="rank 0 has not spoken"):
                ranks.hear()

    together(2, work)
