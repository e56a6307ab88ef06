"""Foreign code: what it raises is its own, its time is limited, and closing it always comes back."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import VectorWrapper

from a2c.envs.device.cartpole import CartPole
from a2c.envs.device.lockstep import DeviceEnvs
from a2c.envs.foreign import close_all, close_in_time, users_own
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.vector.inprocess import InProcessVectorEnv
from a2c.errors import EnvironmentFailure
from a2c.machine.processes.deadline import OutOfTimeError, alarm
from envs.toys import CountingVectorEnv
from foreign_toys import Foreign


def hang() -> None:
    time.sleep(3600)


def swallow() -> None:
    """Hangs in code that goes on after any Exception."""
    while True:
        with contextlib.suppress(Exception):
            hang()


def do(error: BaseException) -> Callable[[], None]:
    def then() -> None:
        raise error

    return then


@pytest.mark.parametrize("close", [hang, swallow])
def test_a_close_that_hangs_is_left_with_one_line(
    close: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    close_in_time(close, "environment 3", seconds=0.05)
    assert capsys.readouterr().err == "environment 3 did not close in 0.05 s; it is left as it is\n"


def test_outside_the_main_thread_too(capsys: pytest.CaptureFixture[str]) -> None:
    ready = threading.Event()  # so that no thread outlives the test
    thread = threading.Thread(target=close_in_time, args=(ready.wait, "environment 3", 0.05))
    thread.start()
    thread.join()
    ready.set()
    assert "environment 3 did not close" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), GeneratorExit(), TimeoutError("own")], ids=repr)
def test_what_close_raises_is_nobodys_business(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    close_in_time(do(error), "environment 3")
    if not isinstance(error, TimeoutError):
        assert capsys.readouterr().err == ""


def test_the_users_interrupt_gets_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        close_in_time(do(KeyboardInterrupt()), "environment 3")


def test_many_that_hang_share_the_time_and_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    closed: list[str] = []
    close_all({"one": hang, "two": lambda: closed.append("two"), "three": hang}, seconds=0.05)
    assert closed == ["two"]
    assert capsys.readouterr().err == "one did not close in 0.05 s (nor did 1 others); it is left as it is\n"


@pytest.fixture
def ignored_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_is_the_users_where_the_user_can_interrupt() -> None:
    assert users_own(KeyboardInterrupt())
    assert not users_own(SystemExit())


@pytest.mark.usefixtures("ignored_interrupts")
def test_an_interrupt_where_signals_are_ignored_is_the_environments() -> None:
    assert not users_own(KeyboardInterrupt())


def test_an_alarm_leaves_the_one_before_it_as_it_was() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    left = signal.setitimer(signal.ITIMER_REAL, 100)
    try:
        with pytest.raises(OutOfTimeError), alarm(0.01):
            hang()
        with alarm(50):
            pass
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
        signal.raise_signal(signal.SIGALRM)
        assert rung == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *left)


class Leaves(CountingVectorEnv):
    """A user's own vector environment, which ends its program."""

    def step(self, actions: Any) -> Any:
        sys.exit("no license")


def test_a_vector_environment_of_ones_own_that_exits_is_an_error() -> None:
    envs = LockstepEnvs(Leaves([3, 3]))
    envs.reset([0, 1])
    with pytest.raises(EnvironmentFailure, match="raised SystemExit in step 1: no license"):
        envs.step(np.zeros(2, np.int64))
    envs.close()


class Learns(VectorWrapper):
    """On the device: it takes a gradient in its step, and may then exit."""

    exits = False

    def step(self, actions: Any) -> Any:
        weight = torch.ones(1, requires_grad=True)
        (weight * 2).sum().backward()
        if self.exits:
            sys.exit("no license")
        return self.env.step(actions)


def test_an_environment_on_the_device_takes_its_gradients_and_may_not_exit() -> None:
    made = Learns(CartPole(num_envs=2))
    envs = DeviceEnvs(made, torch.device("cpu"))
    with torch.inference_mode():  # as its collector has it
        envs.reset(0)
        envs.step(torch.zeros(2, dtype=torch.int64))
        made.exits = True
        with pytest.raises(EnvironmentFailure, match="raised SystemExit in step 2: no license"):
            envs.step(torch.zeros(2, dtype=torch.int64))
    envs.close()


def test_a_constructor_that_fails_leaves_no_other_environment_open() -> None:
    alive = Foreign.alive
    with pytest.raises(EnvironmentFailure, match=r"environment 2 .* raised SystemExit in its constructor: 1"):
        InProcessVectorEnv([Foreign, Foreign, do(SystemExit(1))])  # type: ignore[list-item]
    assert Foreign.alive == alive
