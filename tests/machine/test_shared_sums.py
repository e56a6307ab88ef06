"""Sums in memory that ranks share."""

from __future__ import annotations

import errno
import random
import threading
import time
from typing import Any

import pytest
import torch
from torch import distributed

from a2c.errors import RankFailure
from a2c.machine import rank_group, shared_sums
from a2c.machine.processes import life_line
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


@pytest.mark.parametrize("name", ["x" * 120, "\N{DEGREE SIGN}" * 40], ids=["long", "long in bytes"])
def test_a_long_name_of_the_folder_for_temporary_files_is_no_matter(monkeypatch, tmp_path, name):
    """A socket's name has room for about a hundred bytes."""
    place = tmp_path / name
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    assert (
        together(2, lambda ranks: (ranks.gather(torch.tensor([ranks.rank])).tolist(), shares(ranks)))
        == [([[0], [1]], True)] * 2
    )


def test_where_no_folder_can_be_written_all_add_by_gloo(monkeypatch, caplog):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert (
        together(3, lambda ranks: (ranks.gather(torch.tensor([ranks.rank])).tolist(), shares(ranks)))
        == [([[0], [1], [2]], False)] * 3
    )
    assert "the ranks add by Gloo, not in shared memory: [Errno 2]" in caplog.text


def shares(ranks: Ranks) -> bool:
    """Whether its sums are in shared memory."""
    return ranks._shared is not None


def test_only_who_hangs_is_named_not_who_came_late(monkeypatch):
    monkeypatch.setattr(rank_group, "GRACE", 0.2)
    noticed = threading.Event()

    def work(ranks: Ranks) -> str:
        ranks.add(torch.ones(3))
        if ranks.rank == 1:
            noticed.wait(20)
            return ""
        if ranks.rank == 2:
            time.sleep(0.7)
        with pytest.raises(RankFailure) as caught:
            ranks.add(torch.ones(3))
        noticed.set()
        return str(caught.value)

    assert together(3, work, timeout=1.0)[0].startswith("rank error: rank 1 has kept the others waiting for 1 s")


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_ones_own_is_not_taken_for_a_rank_that_is_missing(monkeypatch, failing):
    """As when there is no memory left."""
    real, full = shared_sums._map, threading.local()

    def mapped(file: int, size: int) -> Any:
        if getattr(full, "here", False):
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return real(file, size)

    monkeypatch.setattr(rank_group, "GRACE", 0.2)
    monkeypatch.setattr(shared_sums, "_map", mapped)

    def work(ranks: Ranks) -> str:
        full.here = ranks.rank == failing
        try:
            with ranks.telling():
                ranks.add(torch.ones(100_000))
        except (RankFailure, OSError) as error:
            return str(error)
        return ""

    said = together(2, work)
    assert said[failing] == "[Errno 12] Cannot allocate memory"
    assert said[1 - failing] == f"rank error: rank {failing} has ended: [Errno 12] Cannot allocate memory"


@pytest.mark.parametrize("sizes", [(4000, 3000), (3000, 4000), (20_000, 3000), (3000, 20_000)], ids=str)
def test_parts_of_different_sizes_are_refused(sizes):
    """They would be added as far as they go, and the weights would drift apart."""

    def work(ranks: Ranks) -> str:
        ranks.add(torch.ones(4000))
        try:
            ranks.add(torch.ones(sizes[ranks.rank]))
        except (RankFailure, ValueError) as error:
            ranks.close()
            return str(error)
        return ""

    said = together(2, work)
    assert any("does not sum what" in text or "has made no room" in text for text in said), said
    assert all(said), said


def test_nothing_and_what_is_not_contiguous_can_be_gathered():
    def work(ranks: Ranks) -> Any:
        empty, grid = ranks.gather(torch.ones(0, 2)), torch.arange(6.0).view(2, 3).T + ranks.rank
        ranks.add(torch.ones(0))
        return empty.shape, ranks.gather(grid).tolist() == [(grid + rank - ranks.rank).tolist() for rank in range(2)]

    assert together(2, work) == [((2, 0, 2), True)] * 2


def test_what_needs_a_gradient_leaves_none_behind():
    def work(ranks: Ranks) -> bool:
        return ranks.gather(torch.ones(3, requires_grad=True)).requires_grad

    assert together(2, work) == [False, False]


def test_a_forked_child_does_not_hide_that_a_rank_has_gone():
    """It would hold the rank's sockets open."""

    def work(ranks: Ranks) -> bool:
        assert ranks._shared is not None
        return all(other in life_line._own_ends for other in ranks._shared._others.values())

    assert together(2, work) == [True, True]


def test_a_rank_that_never_comes_is_waited_for_no_longer_than_the_timeout():
    with pytest.raises(TimeoutError):
        shared_sums.shared_sums(0, 2, distributed.HashStore(), 0.2, 0.0)
    with pytest.raises(TimeoutError, match="nobody has said folder"):
        shared_sums.shared_sums(1, 2, distributed.HashStore(), 0.2, 0.0)
