"""An environment that does what no environment should, where it is told to: ``env.id=foreign_toys:Foreign-v0``."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete

LENGTH = 10  # steps of an episode
EVALUATED_AT = 3  # the step of a fault in an evaluation
TRAINED_AT = 25  # the step of a fault in training


class OwnError(BaseException):
    """Of a library that does not want to be caught."""


def _raise(error: BaseException) -> None:
    raise error


FAULTS: dict[str, Callable[[], object]] = {
    "raise": lambda: _raise(ZeroDivisionError("broken")),
    "exit": lambda: sys.exit("no license"),
    "generator": lambda: _raise(GeneratorExit("done")),
    "own": lambda: _raise(OwnError("not to be caught")),
    "interrupt": lambda: _raise(KeyboardInterrupt("the simulator's own")),
    "hang": lambda: time.sleep(3600),
    "leave": lambda: os._exit(0),
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
}
REWARDS: dict[str, Any] = {
    "no number": float("nan"),
    "text": "one",
    "nothing": None,
    "array": np.array([1.0]),
    "pair": np.ones(2),
}


class Foreign(gym.Env[Any, Any]):
    """Shows two random numbers, reward 1; episodes of ten steps. It insists on actions of its own space.

    Args:
        where: constructor, reset, step, close, or evaluation: a step of an episode with one of ``seeds``.
        fault: one of :data:`FAULTS` or :data:`REWARDS`; shape or dtype: an observation of another one; value: one that
            holds ``value``.
        seeds: of evaluations.
        ends: whether episodes ever end.
        high: bound of continuous actions of one float64; 0: two discrete ones.
        info: of every reset.
        modes: set modes of torch that are not ours, and learn something at every step.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}
    alive: ClassVar[int] = 0  # instances in this process that are not closed
    most_alive: ClassVar[int] = 0
    made: ClassVar[int] = 0

    def __init__(
        self,
        where: str = "",
        fault: str = "",
        seeds: Sequence[int] = (),
        ends: bool = True,
        high: float = 0.0,
        value: float = 0.0,
        info: dict[str, Any] | None = None,
        modes: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self.where, self.fault, self.seeds, self.ends, self.value = where, fault, set(seeds), ends, value
        self.info, self.render_mode = info or {}, render_mode
        self.observation_space = Box(-1, 1, (2,), np.float32)
        self.action_space = Box(-high, high, (1,), np.float64) if high else Discrete(2)
        self.steps, self.evaluated, self.modes = 0, False, modes
        self._perhaps("constructor")
        if modes:
            self._set_modes()
        cls = type(self)
        cls.made, cls.alive = cls.made + 1, cls.alive + 1
        cls.most_alive = max(cls.most_alive, cls.alive)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count, self.evaluated = 0, seed in self.seeds
        self._perhaps("reset")
        return self._random(), self.info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.steps, self.count = self.steps + 1, self.count + 1
        reward, shown = 1.0, self._random()
        if self.modes:
            self._set_modes()
            self._learn()
        if self._due():
            FAULTS.get(self.fault, lambda: None)()
            reward = REWARDS.get(self.fault, reward)
            if self.fault == "shape":
                shown = np.zeros((2, 1), np.float32)
            if self.fault == "dtype":
                shown = np.zeros(2, np.int64)
            if self.fault == "value":
                shown = np.full(2, self.value, np.float32)
        return shown, reward, False, self.ends and self.count == LENGTH, {}

    def render(self) -> Any:
        return np.zeros((32, 32, 3), np.uint8)

    def close(self) -> None:
        type(self).alive -= 1
        self._perhaps("close")

    def _due(self) -> bool:
        if self.where == "evaluation":
            return self.evaluated and self.count == EVALUATED_AT
        return self.where == "step" and self.steps == TRAINED_AT

    def _perhaps(self, where: str) -> None:
        if self.where == where:
            FAULTS[self.fault]()

    def _random(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def _set_modes(self) -> None:
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(2)
        torch.set_grad_enabled(False)

    def _learn(self) -> None:
        with torch.enable_grad():
            weight = torch.ones(1, requires_grad=True)
            (weight * 2).sum().backward()
        assert weight.grad == 2


gym.register("Foreign-v0", Foreign)
