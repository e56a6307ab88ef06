"""Waiting awake: what has come is seen at once, and where nothing comes in time it is given up for a while."""

from __future__ import annotations

import os
import select
from typing import Any

from a2c.machine.processes.spin import MOST_SKIPPED, SpinWait


class Poller:
    """Gives what it is told to, and counts the looks."""

    def __init__(self) -> None:
        self.looks = 0
        self.events: list[tuple[int, int]] = []

    def poll(self, milliseconds: int) -> list[tuple[int, int]]:
        assert milliseconds == 0  # awake
        self.looks += 1
        return self.events


def spin_on(poller: Any, seconds: float) -> SpinWait:
    return SpinWait(poller, seconds)


def looks_of(poller: Poller, spin: SpinWait, waits: int) -> str:
    """A wait each: ``x`` if it looked, ``.`` if it did not."""
    shown = ""
    for _ in range(waits):
        before = poller.looks
        spin()
        shown += "x" if poller.looks > before else "."
    return shown


def test_what_has_come_is_given_as_the_poller_gives_it() -> None:
    read, write = os.pipe()
    poller = select.poll()
    poller.register(read, select.POLLIN)
    spin = SpinWait(poller, 10.0)
    os.write(write, b"x")
    assert spin() == [(read, select.POLLIN)]
    os.close(read)
    os.close(write)


def test_it_looks_until_something_comes() -> None:
    class Later(Poller):
        def poll(self, milliseconds: int) -> list[tuple[int, int]]:
            if self.looks == 100:
                self.events = [(5, 1)]
            return super().poll(milliseconds)

    poller = Later()
    assert spin_on(poller, 60.0)() == [(5, 1)]
    assert poller.looks == 101


def test_without_time_it_never_looks() -> None:
    poller = Poller()
    assert looks_of(poller, spin_on(poller, 0.0), 5) == "....."


def test_after_two_misses_in_a_row_it_skips_ever_more_waits() -> None:
    poller = Poller()
    spin = spin_on(poller, 1e-9)
    assert looks_of(poller, spin, 2 + 2 + 1 + 4 + 1 + 8 + 1) == "xx..x....x........x"
    shown = looks_of(poller, spin, 400)
    assert max(map(len, shown.split("x"))) == MOST_SKIPPED


def test_one_miss_among_hits_changes_nothing() -> None:
    # A rollout: four short waits while the policy acts, a long one while it learns.
    poller = Poller()
    spin = spin_on(poller, 1e-9)
    for _ in range(20):
        poller.events = [(5, 1)]
        assert looks_of(poller, spin, 4) == "xxxx"
        poller.events = []
        assert looks_of(poller, spin, 1) == "x"


def test_a_hit_ends_the_skipping() -> None:
    poller = Poller()
    spin = spin_on(poller, 1e-9)
    looks_of(poller, spin, 2 + 2 + 1 + 4)
    poller.events = [(5, 1)]
    looks_of(poller, spin, 1)
    poller.events = []
    assert looks_of(poller, spin, 5) == "xx..x"
