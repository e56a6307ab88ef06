"""What a pool makes of its workers' descriptors, some of which tell of an end that is known already."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from typing import Any

import pytest

from a2c.machine.processes.failure_report import WorkersError, report_failure
from a2c.machine.processes.life import DONE, tell_failure
from a2c.machine.processes.pool import WorkerPool
from a2c.machine.processes.worker_process import Job, Worker


class Ends:
    """The other ends of a worker's pipes: whoever holds them is the worker."""

    def __init__(self, index: int) -> None:
        ours, self.pipe = multiprocessing.Pipe()
        death, self.life = os.pipe()
        job = Job(lambda *_: None, None, range(index, index + 1))
        self.worker = Worker(index, job, None, ours, ours, 1, ours.fileno(), death, own_death=True)

    def fail(self) -> None:
        """Report a failure, and be gone before anybody looks."""
        tell_failure(self.pipe, report_failure(ZeroDivisionError("broken"), None, self.worker.index, 1, "step 1"))
        os.close(self.life)

    def close(self) -> None:
        for descriptor in (self.worker.death, self.life):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        for end in (self.pipe, self.worker.pipe):
            end.close()


@pytest.fixture
def two() -> Iterator[tuple[WorkerPool, list[Ends]]]:
    pool, ends = WorkerPool(None, True, "worker", [-1, -1]), [Ends(0), Ends(1)]
    for end in ends:
        pool.workers.append(pool._watched(end.worker))
    pool._pending()
    yield pool, ends
    for end in ends:
        end.close()


def known(pool: WorkerPool) -> tuple[Any, Any]:
    return sorted(pool._by_socket), sorted(pool._by_death)


def test_a_failure_counts_once_although_its_worker_has_ended_by_then(two):
    pool, ends = two
    ends[0].fail()
    with pytest.raises(WorkersError):
        pool.collect(None)
    assert pool.failed == [0]


def test_nothing_is_known_any_more_of_a_worker_that_has_failed(two):
    """Its numbers will be those of other descriptors: one of them would otherwise be taken for it."""
    pool, ends = two
    ends[0].fail()
    with pytest.raises(WorkersError):
        pool.collect(None)
    assert known(pool) == ([ends[1].worker.socket], [ends[1].worker.death])
    os.write(ends[1].pipe.fileno(), DONE)
    pool._owing.discard(0)
    assert pool.collect(None) == [None, None]
