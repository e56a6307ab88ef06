"""Measurements side by side: in order, in processes of one thread, none of which is left."""

from __future__ import annotations

import os
import time

import pytest

from a2c.study.parallel import each


def square_late(number: int) -> int:
    time.sleep(0.3 if number == 0 else 0.0)  # the first is the last to finish
    return number * number


def whereabouts(_: int) -> tuple[int, str | None]:
    time.sleep(0.2)
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def fail_or_sleep(seconds: float) -> None:
    if seconds == 0:
        raise ValueError("this one fails")
    time.sleep(seconds)


def test_results_are_in_the_order_of_the_items():
    assert each(square_late, range(5), jobs=2) == [0, 1, 4, 9, 16]


def test_one_job_stays_in_this_process():
    assert [pid for pid, _ in each(whereabouts, range(2), jobs=1)] == [os.getpid()] * 2


def test_several_are_processes_of_one_thread_each(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = each(whereabouts, range(2), jobs=2)
    assert os.getpid() not in {pid for pid, _ in found}
    assert {threads for _, threads in found} == {"1"}
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_when_one_fails_the_others_are_ended_at_once():
    with pytest.raises(ValueError, match="this one fails"):
        each(fail_or_sleep, [3600.0, 0.0, 3600.0], jobs=2)  # were they waited for, pytest-timeout would end this test


def test_nothing_to_do_is_done():
    assert each(square_late, []) == []
