"""A call in a process that ends with it."""

from __future__ import annotations

from typing import Any

import pytest

from a2c.machine.processes.apart import call_apart
from a2c.machine.processes.pool import WorkerPool


def test_an_answer_counts_although_its_process_has_ended_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    collect = WorkerPool.collect

    def late(pool: WorkerPool, *how: Any) -> list[Any]:
        for worker in pool.workers:
            worker.process.join(30)  # as on a busy machine
        return collect(pool, *how)

    monkeypatch.setattr(WorkerPool, "collect", late)
    assert call_apart(len, [1, 2]) == 2
