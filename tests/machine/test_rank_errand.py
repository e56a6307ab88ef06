"""Work that ranks share out: each says that it lives, all learn how it ended, and who hangs is named."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from a2c.errors import RankFailure
from a2c.machine import rank_errand
from a2c.machine.rank_errand import Errand
from a2c.machine.rank_group import Ranks
from rank_threads import together


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_errand, "BEAT", 0.01)


def never() -> bool:
    return False


def ended(errand: Errand) -> tuple[bool, bool]:
    errand.wait()
    return errand.off, errand.stopped


def test_each_waits_for_the_slowest_and_the_first_hears_how_far_all_are():
    told: list[int] = []

    def work(ranks: Ranks) -> tuple[bool, bool]:
        errand = Errand(ranks, 0, never, told.append)
        for step in range(3):
            time.sleep(0.03 * ranks.rank)
            errand.did(step + 1)
            assert not errand.ends()
        return ended(errand)

    assert together(3, work) == [(False, False)] * 3
    assert told[-1] == 9
    assert told == sorted(told)


@pytest.mark.parametrize("whom", [0, 2])
def test_all_leave_their_shares_once_one_is_asked_to_stop(whom):
    def work(ranks: Ranks) -> tuple[bool, bool]:
        errand = Errand(ranks, 0, lambda: ranks.rank == whom)
        while not errand.ends():
            time.sleep(0.001)
        return ended(errand)

    assert together(3, work) == [(True, True)] * 3


def test_a_failure_is_no_stop():
    def work(ranks: Ranks) -> tuple[bool, bool]:
        errand = Errand(ranks, 0, never)
        if ranks.rank == 1:
            errand.break_off()
        while not errand.ends():
            time.sleep(0.001)
        return ended(errand)

    assert together(2, work) == [(True, False)] * 2


@pytest.mark.parametrize("hanging", [0, 1])
def test_a_rank_that_hangs_is_named_by_whoever_waits_for_it(hanging):
    def work(ranks: Ranks) -> str:
        errand = Errand(ranks, 0, never)
        if ranks.rank == hanging:
            return ""
        with pytest.raises(RankFailure) as caught:
            errand.wait()
        return str(caught.value)

    said = together(2, work, timeout=0.3)[1 - hanging]
    assert said == f"rank error: rank {hanging} has kept the others waiting for 0.3 s (rank_timeout)"


def test_a_rank_that_is_at_work_is_waited_for_however_long_it_takes(monkeypatch):
    clock, first = [0.0], []
    monkeypatch.setattr(rank_errand, "time", SimpleNamespace(monotonic=lambda: clock[0], sleep=time.sleep))

    def work(ranks: Ranks) -> tuple[bool, bool]:
        errand = Errand(ranks, 0, never)
        if ranks.leads:
            first.append(errand)
        for _ in range(30 * ranks.rank):  # thirty times 50 s, with 300 s of patience
            clock[0] += 50.0
            errand.ends()
            while not first or not str(first[0]._heard[1][0]).endswith(f"|{errand._beats}"):  # until it is heard
                time.sleep(0.001)
        return ended(errand)

    assert together(2, work) == [(False, False)] * 2


def test_who_is_to_stop_waits_only_a_moment_for_one_that_is_gone(monkeypatch):
    monkeypatch.setattr(rank_errand, "QUIET", 0.1)

    def work(ranks: Ranks) -> str:
        if ranks.rank == 1:
            return ""
        with pytest.raises(RankFailure) as caught:
            Errand(ranks, 0, lambda: True).wait()
        return str(caught.value)

    assert together(2, work)[0] == "rank error: rank 1 gives no sign of life, and the ranks are to stop"


def test_who_fails_otherwise_is_heard_by_those_that_wait():
    def work(ranks: Ranks) -> str:
        try:
            with ranks.telling():
                errand = Errand(ranks, 0, never)
                if ranks.rank == 1:
                    raise ValueError("no disk")
                errand.wait()
        except (RankFailure, ValueError) as error:
            return str(error)
        return ""

    assert together(2, work)[0] == "rank error: rank 1 has ended: no disk"


def test_what_was_said_in_the_last_one_is_deleted():
    stores: list[Any] = []

    def work(ranks: Ranks) -> None:
        stores.append(ranks.store)
        for number in range(3):
            Errand(ranks, number, never).wait()
            ranks.hand_in(None)

    together(2, work)
    assert [stores[0].check([f"errand/{number}/1"]) for number in range(3)] == [False, False, True]
