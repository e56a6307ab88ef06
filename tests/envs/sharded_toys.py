"""Environments that misbehave in one known way, and one whose every number depends on seed, actions and history."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Text, Tuple

from a2c.envs.vector.sharded import ShardedAsyncVectorEnv

PATIENCE = 300.0  # seconds: more than a busy machine takes
BOX = Box(-np.inf, np.inf, (3,), np.float32)
SPACES: dict[str, Space[Any]] = {
    "box": BOX,
    "image": Box(0, 255, (4, 5, 2), np.uint8),
    "discrete": Discrete(5, start=-2),
    "multidiscrete": MultiDiscrete([3, 4]),
    "multibinary": MultiBinary(6),
    "dict": Dict({"a": Box(-1, 1, (2,), np.float64), "b": Discrete(3)}),
    "tuple": Tuple((Discrete(7), Box(-1, 1, (), np.float32))),
    "text": Text(5, min_length=1),
}


@contextlib.contextmanager
def making(**defaults: Any) -> Iterator[Callable[..., ShardedAsyncVectorEnv]]:
    """Makes vector environments, with these arguments unless told otherwise; closes them in the default way."""
    made: list[ShardedAsyncVectorEnv] = []

    def build(env_fns: Any, **kwargs: Any) -> ShardedAsyncVectorEnv:
        made.append(ShardedAsyncVectorEnv(env_fns, **{**defaults, **kwargs}))
        made[-1].log_failures = False
        return made[-1]

    yield build
    for envs in made:
        envs.close()


def wait_until_all_but(envs: ShardedAsyncVectorEnv, *hanging: int) -> None:
    """Until these environments run and all other workers have answered: then a time limit is for these alone."""
    current = envs._memory.arrays["current"]
    for worker in envs._exchange.pool.workers:
        stuck = set(worker.envs).intersection(hanging)
        if not stuck:
            assert worker.pipe.poll(PATIENCE), f"{worker} never answered"
            continue
        deadline = time.monotonic() + PATIENCE
        while current[worker.index] not in stuck:
            assert time.monotonic() < deadline, f"{worker} never came to {stuck}"
            time.sleep(0.01)


class DiceEnv(gym.Env[Any, Any]):
    """Episodes of random length and rewards; observations are samples. Everything follows from seed and actions."""

    def __init__(self, space: str = "box", action_space: Space[Any] | None = None, infos: bool = True) -> None:
        self.observation_space = deepcopy(SPACES[space])  # a generator of its own
        self.action_space = action_space or Discrete(4)
        self.infos = infos

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {"began": self.t, "options": str(options)} if self.infos else {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        luck = self.np_random.random()
        info = {"t": self.t, "where": {"luck": luck}} if self.infos and luck < 0.4 else {}
        reward = float(np.sum(action)) + luck
        return self.observation_space.sample(), reward, luck < 0.1, luck > 0.9, info


class StepCounter(gym.Env[Any, Any]):
    """Observes its step number in one buffer that it overwrites, reset included; truncated after ``length`` steps."""

    observation_space = BOX
    action_space = Box(-1, 1, (2,), np.float32)

    def __init__(self, length: int = 3) -> None:
        self.length = length
        self.buffer = np.zeros(3, np.float32)
        self.first_action: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.buffer[:] = 0
        return self.buffer, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.first_action is None:
            self.first_action = action
        self.buffer += 1
        return self.buffer, 1.0, False, bool(self.buffer[0] == self.length), {}


class OddError(Exception):
    """Its constructor does not take what pickle would give it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")


class UnpicklableError(Exception):
    """Pickle refuses it."""

    def __reduce__(self) -> Any:
        raise TypeError("no pickling of me")


def _value_error(env: FaultyEnv) -> None:
    raise ValueError("the wheel came off: 100 %s % done")


def _odd_error(env: FaultyEnv) -> None:
    raise OddError(7, "odd")


def _unpicklable(env: FaultyEnv) -> None:
    raise UnpicklableError("cannot travel")


def _local_error(env: FaultyEnv) -> None:
    class LocalError(RuntimeError):
        pass

    raise LocalError("known to no module")


def _system_exit(env: FaultyEnv) -> None:
    sys.exit(3)


def _hang(env: FaultyEnv) -> None:
    time.sleep(3600)


def _hang_in_c(env: FaultyEnv) -> None:
    """Keeps Python's lock, so that no thread of this process can run."""
    ctypes.PyDLL(None).sleep(3600)


def _hang_and_ignore(env: FaultyEnv) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


def _killed(env: FaultyEnv) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _quits(env: FaultyEnv) -> None:
    os._exit(5)


def _slow(env: FaultyEnv) -> None:
    time.sleep(2)


FAULTS: dict[str, Callable[[FaultyEnv], None]] = {
    name.removeprefix("_"): fault
    for name, fault in globals().copy().items()
    if name.startswith("_") and getattr(fault, "__module__", None) == __name__ and callable(fault)
}


class FaultyEnv(gym.Env[Any, Any]):
    """Zeros and rewards of 0, until in ``where`` (constructor, reset, step, close) the named fault happens.

    ``answer`` replaces (observation, reward) of every step instead.
    """

    observation_space = BOX
    action_space = Discrete(2)

    def __init__(self, fault: str = "", where: str = "step", on_step: int = 1, answer: Any = None) -> None:
        self.fault, self.where, self.on_step, self.answer = fault, where, on_step, answer
        self.steps = 0
        self._go_wrong("constructor")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._go_wrong("reset")
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps == self.on_step:
            self._go_wrong("step")
        obs, reward = (np.zeros(3, np.float32), 0.0) if self.answer is None else self.answer
        return obs, reward, False, False, {}

    def close(self) -> None:
        self._go_wrong("close")

    def pid(self) -> int:
        return os.getpid()

    def look(self, module: str) -> bool:
        return module in sys.modules

    def variable(self, name: str) -> str | None:
        return os.environ.get(name)

    def _go_wrong(self, where: str) -> None:
        if self.where == where and self.fault:
            FAULTS[self.fault](self)


def faulty(num_envs: int, *bad: int, **fault: Any) -> list[Callable[[], FaultyEnv]]:
    """N sane environments, except those with an index in ``bad``."""
    return [partial(FaultyEnv, **(fault if env in bad else {})) for env in range(num_envs)]


def third_step_raises(envs: ShardedAsyncVectorEnv, kind: type[Exception], said: str) -> Exception:
    """Reset and step until an environment raises in the third step; what it raised."""
    import pytest  # worker processes import this module

    envs.reset()
    for _ in range(2):
        envs.step(np.zeros(envs.num_envs, np.int64))
    with pytest.raises(kind, match=said) as caught:
        envs.step(np.zeros(envs.num_envs, np.int64))
    return caught.value
