"""The first signal is noted for the loop to see, the second interrupts, and the handlers of before come back."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

import pytest

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
