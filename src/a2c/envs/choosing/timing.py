"""Measure what a step of an environment and a signal to a process cost here, in a fraction of a second."""

from __future__ import annotations

import contextlib
import os
import random
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import gymnasium as gym
import numpy as np

from a2c.envs.choosing.choose import Costs
from a2c.envs.converting.masks import MaskedBox, made_legal
from a2c.machine.processes.spin import SPIN, SpinWait

STEP_SECONDS = 0.15  # to time the environment; a single slow step may take longer
ROUNDS = 15  # of signals
USUAL = (10e-6, 5e-6, 1.2)  # signal, each and slowdown of 2 idle cores, for when no process can be started
MOST_PROCESSES = 32  # to time; we assume that more behave like these
WORK = 16000  # turns of an empty loop: some 0.4 ms

# A worker without environments: it answers a byte with that byte, after work if it is "w", and waits awake as told.
_WORKER = f"""
import os, select, sys, time
def work():
    for _ in range({WORK}): pass
poller = select.poll()
poller.register(0, select.POLLIN)
spin = float(sys.argv[1])
while True:
    end = time.perf_counter() + spin
    while not poller.poll(0) and time.perf_counter() < end: pass
    byte = os.read(0, 1)
    if not byte: break
    if byte == b"w": work()
    os.write(1, byte)
"""


def time_steps(env: gym.Env[Any, Any], seconds: float = STEP_SECONDS) -> float:
    """Mean seconds of a step with random actions, resets included.

    Args:
        env: the environment; the global random generators that it may use are restored.
        seconds: how long to step it.

    Raises:
        Exception: what the environment raises.
    """
    python, numpy = random.getstate(), np.random.get_state()  # an environment may draw from them
    try:
        env.action_space.seed(0)
        actions = [env.action_space.sample() for _ in range(64)]
        obs, _ = env.reset(seed=0)
        warm_up, obs = _mean_step(env, actions, obs, seconds / 5)
        return warm_up if warm_up >= seconds else _mean_step(env, actions, obs, seconds * 4 / 5)[0]
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def time_processes(step: float, count: int, spin: float = SPIN) -> Costs:
    """Time signals between this process and ``count`` - 1 others; where none can start, take usual costs.

    The others are bare interpreters: a worker takes a quarter of a second to import Gymnasium, and a process with
    threads must not fork.

    Args:
        step: seconds of one step of the environment.
        count: processes, this one included.
        spin: seconds that each waits awake.
    """
    try:
        return _time_processes(step, min(count, MOST_PROCESSES), spin)
    except OSError:
        return Costs(step, *USUAL)


def _time_processes(step: float, count: int, spin: float) -> Costs:
    with _processes(count - 1, spin) as others:
        _exchange(others, b".", spin)  # they have started
        signal = _median(lambda: _exchange(others[:1], b".", spin))
        signals = _median(lambda: _exchange(others, b".", spin))
        together = _median(lambda: _exchange(others, b"w", spin)) - signals
        time.sleep(2 * spin)  # until they sleep
        alone = _median(_work)
        each = max(0.0, signals - signal) / max(1, count - 2)
        return Costs(step, signal, each, slowdown=min(float(count), max(1.0, together / max(alone, 1e-9))))


def _mean_step(env: gym.Env[Any, Any], actions: Sequence[Any], obs: Any, seconds: float) -> tuple[float, Any]:
    """Mean seconds of a step from an observation on, and the last one."""
    masked = isinstance(env.observation_space, MaskedBox)  # asked once: it must not count as a part of the step
    started, steps = time.perf_counter(), 0
    while True:
        for action in actions:
            obs, _, terminated, truncated, _ = env.step(made_legal(env, action, obs) if masked else action)
            if terminated or truncated:
                obs, _ = env.reset()
            steps += 1
            if (elapsed := time.perf_counter() - started) >= seconds:
                return elapsed / steps, obs


@contextlib.contextmanager
def _processes(count: int, spin: float) -> Iterator[list[tuple[int, int]]]:
    """Start ``count`` processes and give their descriptors (to write, to read); end them afterwards."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            command = [sys.executable, "-I", "-S", "-c", _WORKER, str(spin)]
            started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0))
        yield [(_descriptor(process.stdin), _descriptor(process.stdout)) for process in started]
    finally:
        for process in started:
            process.kill()
        for process in started:
            with process:  # closes its pipes and waits for its end
                pass


def _descriptor(pipe: IO[bytes] | None) -> int:
    assert pipe is not None
    return pipe.fileno()


def _exchange(others: Sequence[tuple[int, int]], byte: bytes, spin: float) -> None:
    """Have every process, this one too, do what the byte says, and wait for the answers."""
    for write, _ in others:
        os.write(write, byte)
    if byte == b"w":
        _work()
    for _, read in others:
        poller = select.poll()
        poller.register(read, select.POLLIN)
        SpinWait(poller, spin)()
        if os.read(read, 1) != byte:
            raise OSError("a process for timing signals is gone")


def _work() -> None:
    for _ in range(WORK):
        pass


def _median(turn: Callable[[], None]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        turn()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
