"""Sums in memory that ranks share."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from a2c.errors import RankFailure
from a2c.machine import rank_group
from a2c.machine.rank_group import Ranks
from rank_threads import together

BOTH = pytest.mark.parametrize("one_machine", [True, False], ids=["shared memory", "gloo"])


def part(rank: int, number: int, size: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """What a rank brings to sum ``number``."""
    return (torch.rand(size, generator=torch.Generator().manual_seed(100 * number + rank)) * 1e3).to(dtype)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_many_sums_of_ranks_that_dawdle_are_those_of_a_loop(size):
    """A rank that is ahead would overwrite what the others still read, if there were not two halves."""
    counts = [1 + number * 37 % 5000 for number in range(60)]

    def work(ranks: Ranks) -> list[torch.Tensor]:
        chance, found = random.Random(ranks.rank), []
        for number, count in enumerate(counts):
            tensor = part(ranks.rank, number, count)
            if chance.random() < 0.3:
                time.sleep(chance.random() * 2e-3)
            ranks.add(tensor)
            found.append(tensor)
        return found

    sums = together(size, work)
    for number, count in enumerate(counts):
        expected = part(0, number, count)
        for rank in range(1, size):  # in this order: float sums depend on it
            expected = expected + part(rank, number, count)
        for rank in range(size):
            torch.testing.assert_close(sums[rank][number], expected, rtol=0, atol=0)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64, torch.uint8], ids=str)
def test_what_is_gathered_is_what_each_rank_brought(dtype, one_machine):
    given = together(3, lambda ranks: ranks.gather(part(ranks.rank, 0, 6, dtype).view(2, 3).T), one_machine=one_machine)
    for gathered in given:
        assert gathered.dtype is dtype
        assert torch.equal(gathered, torch.stack([part(rank, 0, 6, dtype).view(2, 3).T for rank in range(3)]))


def test_what_was_summed_and_gathered_stays_as_it_was():
    """Nothing that is given back lies in the memory that the next sums overwrite."""

    def work(ranks: Ranks) -> None:
        gathered, summed = ranks.gather(torch.full((4,), 1.0 + ranks.rank)), torch.ones(4)
        ranks.add(summed)
        for _ in range(4):
            ranks.add(torch.full((4,), 7.0))
        assert gathered.tolist() == [[1.0] * 4, [2.0] * 4]
        assert summed.tolist() == [2.0] * 4

    together(2, work)


@BOTH
def test_a_rank_that_has_gone_is_missed_at_once(monkeypatch, one_machine):
    monkeypatch.setattr(rank_group, "GRACE", 0.2)

    def work(ranks: Ranks) -> str:
        try:
            with ranks.telling():
                ranks.add(torch.ones(3))
                if ranks.rank == 1:
                    time.sleep(0.3)  # the others wait already
                    raise ValueError("no memory")
                ranks.add(torch.ones(3))
        except (RankFailure, ValueError) as error:
            return str(error)
        return ""

    began = time.monotonic()
    said = together(3, work, one_machine=one_machine)
    assert said[1] == "no memory"
    assert {said[0], said[2]} == {"rank error: rank 1 has ended: no memory"}
    assert time.monotonic() - began < 60  # the timeout is 300 s


@BOTH
def test_a_rank_that_hangs_is_named_after_the_timeout(monkeypatch, one_machine):
    monkeypatch.setattr(rank_group, "GRACE", 0.2)
    noticed = threading.Barrier(3)

    def work(ranks: Ranks) -> str:
        ranks.add(torch.ones(3))
        if ranks.rank == 2:
            noticed.wait(20)
            return ""
        with pytest.raises(RankFailure) as caught:
            ranks.add(torch.ones(3))
        noticed.wait(20)
        return str(caught.value)

    said = together(3, work, timeout=1.0, one_machine=one_machine)
    who = "rank error: rank 2 has kept the others waiting for 1 s (rank_timeout) to sum 2 of this session"
    assert said[:2] == [who, who]


def test_nothing_is_left_in_any_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def work(ranks: Ranks) -> Any:
        ranks.add(torch.ones(100_000))
        return list(tmp_path.iterdir())

    assert together(2, work) == [[], []]


def test_a_long_name_of_the_folder_for_temporary_files_is_no_matter(monkeypatch, tmp_path):
    """A socket's name has room for about a hundred characters."""
    place = tmp_path / ("x" * 120)
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    assert together(2, lambda ranks: ranks.gather(torch.tensor([ranks.rank])).tolist()) == [[[0], [1]]] * 2
    assert not list(Path("/tmp").glob("a2c-*/door"))
