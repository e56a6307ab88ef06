"""Every moment of a run is counted once, where it belongs, also where the device works behind the host's back."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable, Iterator

import pytest
import torch

from a2c.machine import clock as module
from a2c.machine.clock import ACT, ENV, EVAL, FIRST, OTHER, PARTS, SAMPLE, TRANSFER, UPDATE, LoopClock


class World:
    """Time that passes only when told, and a device that works behind the host's back."""

    def __init__(self) -> None:
        self.now = 0.0
        self.device_free = 0.0  # when the device will have done what it was given
        self.waits = 0

    def spend(self, seconds: float) -> None:
        self.now += seconds

    def launch(self, seconds: float) -> None:
        """Work for the device; the host goes on at once."""
        self.device_free = max(self.now, self.device_free) + seconds

    def wait(self, device: object = None) -> None:
        self.waits += 1
        self.now = max(self.now, self.device_free)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()
    monkeypatch.setattr(module.time, "perf_counter", lambda: world.now)
    monkeypatch.setattr(module, "_wait_for", world.wait)
    return world


def on_gpu() -> LoopClock:
    return LoopClock(torch.device("cuda"))  # nothing is asked of it here: `world` stands in


def test_every_moment_is_in_exactly_one_part(world: World) -> None:
    clock = LoopClock(torch.device("cpu"))
    clock.begin_rollout()
    world.spend(2)  # acting
    clock.enter(ENV)
    world.spend(3)
    clock.enter(ACT)
    world.spend(1)
    clock.enter(UPDATE)
    world.spend(10)
    clock.enter(OTHER)
    clock.settle()
    world.spend(1)
    clock.enter(EVAL)
    world.spend(3)
    # 20 seconds: 3 of environments, 3 of acting, 10 of updates, 3 of evaluation, 1 of the rest
    assert clock.shares() == {ENV: 0.15, TRANSFER: 0.0, ACT: 0.15, UPDATE: 0.5, EVAL: 0.15, OTHER: 0.05}
    assert world.waits == 0


def test_shares_are_of_the_time_since_the_last_call_and_seconds_of_all(world: World) -> None:
    clock = LoopClock(torch.device("cpu"))
    clock.enter(UPDATE)
    world.spend(5)
    assert clock.shares()[UPDATE] == 1.0
    world.spend(1)  # still the update
    clock.enter(EVAL)
    world.spend(3)
    assert clock.shares() == dict.fromkeys(PARTS, 0.0) | {UPDATE: 0.25, EVAL: 0.75}
    assert clock.seconds() == dict.fromkeys(PARTS, 0.0) | {UPDATE: 6.0, EVAL: 3.0}


def test_what_is_skipped_is_in_no_part(world: World) -> None:
    clock = LoopClock(torch.device("cpu"))
    world.spend(100)  # environments start, a checkpoint is read
    clock.skip()
    clock.enter(UPDATE)
    world.spend(1)
    assert clock.seconds() == dict.fromkeys(PARTS, 0.0) | {UPDATE: 1.0}


def iterate(clock: LoopClock, world: World, count: int) -> None:
    """Iterations of a GPU's loop: 3 s of environments, 1 s of acting and 6 s of update on the device."""
    for _ in range(count):
        clock.begin_rollout()
        world.launch(1.0)
        world.wait()  # acting waits for its actions, as ever, and for the update before them
        clock.enter(ENV)
        world.spend(3.0)
        clock.enter(UPDATE)
        world.launch(6.0)
        clock.enter(OTHER)


def test_on_a_gpu_the_rollouts_that_are_timed_stand_for_the_others(world: World) -> None:
    clock = on_gpu()
    iterate(clock, world, 2 * SAMPLE)
    clock.settle()
    seconds = clock.seconds()
    assert sum(seconds.values()) == world.now == 2 * SAMPLE * 10.0
    # The host alone would see 7 s of acting, and updates of no time at all.
    for part, share in ((ENV, 0.3), (ACT, 0.1), (UPDATE, 0.6), (OTHER, 0.0)):
        assert seconds[part] / world.now == pytest.approx(share), part


def test_a_gpu_is_waited_for_in_few_rollouts(world: World) -> None:
    clock = on_gpu()
    iterate(clock, world, 10 * SAMPLE)
    own = world.waits - 10 * SAMPLE  # less those of acting
    assert 0 < own <= 10 * 6  # one rollout in SAMPLE, with a wait where each of its parts ends


def test_a_report_waits_for_the_update_and_does_not_take_the_blame(world: World) -> None:
    clock = on_gpu()
    iterate(clock, world, SAMPLE)  # the last rollout was not timed: its update is on its way
    clock.settle()
    world.spend(1.0)
    assert clock.seconds()[OTHER] == 1.0


def test_between_two_reports_without_a_timed_rollout_the_earlier_ones_speak(world: World) -> None:
    clock = on_gpu()
    iterate(clock, world, FIRST + 1)
    clock.settle()
    clock.shares()
    iterate(clock, world, 2)
    clock.settle()
    assert clock.shares()[UPDATE] == pytest.approx(0.6)


def test_copies_inside_acting_count_as_transfer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def device_seconds(copy: object) -> float:
        world.spend(0.5)
        return 0.5

    monkeypatch.setattr(module, "_device_seconds", device_seconds)
    clock = on_gpu()
    for _ in range(FIRST + 1):  # the last is timed
        clock.begin_rollout()
        world.spend(10.0)  # 4 steps; 3 of them begin with a copy inside acting's graph
        clock.copy(lambda: world.spend(0.5), within_acting=3)
        clock.enter(UPDATE)
        clock.enter(OTHER)
    seconds = clock.seconds()
    assert seconds[ACT] == pytest.approx((FIRST + 1) * 8.5)
    assert seconds[TRANSFER] == pytest.approx((FIRST + 1) * 2.0)


def test_a_trace_is_told_of_every_part() -> None:
    clock = LoopClock(torch.device("cpu"))
    told: list[str] = []
    clock.enter(ENV)
    clock.trace = told.append
    clock.begin_rollout()
    clock.enter(UPDATE)
    assert told == [ACT, UPDATE]


@pytest.mark.alone
def test_the_clock_costs_next_to_nothing() -> None:
    def best(call: Callable[[], object]) -> float:
        """Seconds of the quickest thousand of many: one that nothing interrupted, however busy the machine is."""
        return min(timeit.repeat(call, number=1000, repeat=50))

    clock = LoopClock(torch.device("cpu"))
    # 16 a rollout of 5 steps, which takes 0.5 ms where everything is small: 5e-6 / 16 is one per cent of it.
    # Measured: 0.2 us, three times what it takes to ask for the time, on any machine.
    assert best(lambda: clock.enter(ENV)) < 20 * best(lambda: time.perf_counter())
