"""The first signal is noted for the loop to see, the second interrupts, and the handlers of before come back."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import pytest

from a2c.machine.processes.deadline import alarm
from a2c.machine.processes.foreign_code import GaveUpError, break_in, foreign, of_others
from a2c.run import stopping
from a2c.run.stopping import StopRequest, stop_on_signals

SIGNALS = ["SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"]


def press(name: str) -> None:
    os.kill(os.getpid(), getattr(signal, name))


@pytest.mark.parametrize("name", SIGNALS)
def test_the_first_signal_is_noted_and_nothing_is_interrupted(name):
    with stop_on_signals() as stop:
        assert not stop
        assert stop.signal is None
        press(name)
        assert stop
        assert stop.signal == name


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS[:-1])
def test_the_second_signal_interrupts_at_once(first, second):
    with stop_on_signals() as stop:
        press(first)
        with pytest.raises(KeyboardInterrupt):
            press(second)
        assert stop.signal == first  # the exit code tells what came first


@pytest.mark.parametrize("first", SIGNALS)
def test_a_terminal_that_hangs_up_again_interrupts_nothing(first):
    with stop_on_signals() as stop:
        press(first)
        press("SIGHUP")  # the shell and the kernel both send one
        press("SIGHUP")
        assert stop.signal == first


def test_who_ignores_hanging_up_goes_on():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup a2c train
    try:
        with stop_on_signals() as stop:
            press("SIGHUP")
            assert not stop
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("ends", [None, ValueError, KeyboardInterrupt])
def test_the_handlers_of_before_come_back_however_it_ends(ends):
    def mine(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGUSR1, mine)
    handlers = [signal.getsignal(getattr(signal, name)) for name in SIGNALS]
    try:
        with contextlib.suppress(ValueError, KeyboardInterrupt), stop_on_signals():
            assert signal.getsignal(signal.SIGUSR1) is not mine
            if ends is not None:
                raise ends
        assert [signal.getsignal(getattr(signal, name)) for name in SIGNALS] == handlers
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_outside_the_main_thread_there_are_no_signals_and_no_error():
    seen: list[StopRequest] = []
    before = signal.getsignal(signal.SIGINT)

    def run() -> None:
        with stop_on_signals() as stop:
            seen.append(stop)
            assert signal.getsignal(signal.SIGINT) is before

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert [bool(stop) for stop in seen] == [False]


# ---- what hangs ----


@pytest.fixture
def alarms(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """No patience; notes for every alarm whether code of others ran."""
    seen: list[bool] = []

    def alarm(number: int, frame: object) -> None:
        seen.append(foreign.runs)
        break_in()

    monkeypatch.setattr(stopping, "PATIENCE", 0.01)
    monkeypatch.setattr(stopping, "AGAIN", 0.01)
    monkeypatch.setattr(stopping, "break_in", alarm)
    return seen


def test_code_of_others_in_another_thread_is_none_of_this_one() -> None:
    entered, leave = threading.Event(), threading.Event()

    def wait() -> None:
        entered.set()
        leave.wait()

    thread = threading.Thread(target=of_others, args=(wait,))
    thread.start()
    entered.wait()
    assert not foreign.runs
    leave.set()
    thread.join()


def test_code_of_others_is_broken_into_and_no_other(alarms: list[bool]) -> None:
    with stop_on_signals():
        press("SIGTERM")
        while len(alarms) < 3:  # an update, or a save, that takes long
            pass
        assert not any(alarms)
        assert not foreign.gave_up
        with pytest.raises(GaveUpError):
            of_others(time.sleep, 3600)
        assert foreign.gave_up
        assert not foreign.runs
        known = len(alarms)
        while len(alarms) < known + 3:
            pass
    with stop_on_signals():
        assert not foreign.gave_up  # what another run gave up is nothing to this one


def test_code_that_catches_everything_is_broken_into_again(alarms: list[bool]) -> None:
    caught = 0

    def stubborn() -> None:
        nonlocal caught
        while True:
            try:
                time.sleep(3600)
            except BaseException:
                caught += 1
                if caught == 3:
                    raise

    with stop_on_signals():
        press("SIGINT")
        with pytest.raises(GaveUpError):
            of_others(stubborn)
    assert caught == 3


def test_without_a_signal_code_of_others_takes_its_time(alarms: list[bool]) -> None:
    with stop_on_signals():
        assert of_others(time.sleep, 0.05) is None
    assert alarms == []


def test_the_alarm_of_before_comes_back(alarms: list[bool]) -> None:
    def mine(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGALRM, mine), signal.setitimer(signal.ITIMER_REAL, 5000, 7)
    try:
        with stop_on_signals():
            press("SIGTERM")
            assert signal.getitimer(signal.ITIMER_REAL)[1] == pytest.approx(0.01, rel=0.5)
        left, every = signal.getitimer(signal.ITIMER_REAL)
        assert 1000 < left <= 5000
        assert every == pytest.approx(7)
        assert signal.getsignal(signal.SIGALRM) is mine
    finally:
        signal.signal(signal.SIGALRM, before[0])
        signal.setitimer(signal.ITIMER_REAL, *before[1])


def test_a_signal_within_an_environments_time_limit_leaves_no_alarm_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both use the one clock of the process: the stop takes over, and nothing rings when the run is over."""
    monkeypatch.setattr(stopping, "PATIENCE", 0.02)

    def hang() -> None:
        with alarm(30.0):
            press("SIGTERM")
            while True:
                time.sleep(0.01)

    before, timed = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0] > 0
    with stop_on_signals() as stop:
        with pytest.raises(GaveUpError):
            of_others(hang)
        assert stop.signal == "SIGTERM"
        assert signal.getsignal(signal.SIGALRM) is break_in  # it may hang again where it is closed
    assert signal.getsignal(signal.SIGALRM) == before
    assert (signal.getitimer(signal.ITIMER_REAL)[0] > 1.0) == timed  # that of the test itself, if there is one
