"""Whoever steps one environment alone gets the checks of training: every failure named, with the traceback."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from a2c.envs.single.checked import Checked
from a2c.errors import A2CError, EnvironmentFailure, NumericError

Answer = tuple[Any, Any, bool, bool, dict[str, Any]]


class OddError(Exception):
    """Cannot be rebuilt from its text."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} % {two}")
        self.lock = sys.stdout  # nor pickled


class Answers(gym.Env[Any, Any]):
    """Steps twice as it should, then does what ``then`` does."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, then: Callable[[], Answer]) -> None:
        self.observation_space, self.action_space = Box(-1, 1, (3,), np.float32), Discrete(2)
        self.then, self.count = then, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> Answer:
        self.count += 1
        return self.then() if self.count > 2 else (np.zeros(3, np.float32), 1, False, False, {})


def answer(obs: Any = (0.0, 0.0, 0.0), reward: Any = 1.0) -> Callable[[], Answer]:
    return lambda: (obs, reward, False, False, {})


def do(raised: BaseException) -> Callable[[], Answer]:
    def then() -> Answer:
        raise raised

    return then


FAULTS = {
    "text as a reward": (answer(reward="much"), EnvironmentFailure, "returned the reward 'much', which is no real"),
    "no reward": (answer(reward=None), EnvironmentFailure, "returned the reward None, which is no real number"),
    "another shape": (answer(np.zeros(1, np.float32)), EnvironmentFailure, r"of shape \(1,\), but its space has \(3,"),
    "another dtype": (answer(np.zeros(3, np.int64)), EnvironmentFailure, "of dtype int64, but its space has float32"),
    "a reward that is not finite": (answer(reward=np.nan), NumericError, "gave the reward nan in step 3"),
    "an observation that is not": (answer(np.float32([0, np.inf, 0])), NumericError, r"gave the observation \[ 0. inf"),
    "an error": (
        do(ValueError("the wheel: 100 %s")),
        EnvironmentFailure,
        "raised ValueError in step 3: the wheel: 100",
    ),
    "an odd error": (do(OddError(1, 2)), EnvironmentFailure, "raised OddError in step 3: 1 % 2"),
    "an exit": (do(SystemExit("no license")), EnvironmentFailure, "raised SystemExit in step 3: no license"),
}


@pytest.mark.parametrize(("then", "kind", "said"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named_with_its_environment_and_step(
    then: Callable[[], Answer], kind: type[A2CError], said: str
) -> None:
    env = Checked(Answers(then), "environment 7")
    env.reset(seed=0)
    assert env.step(0)[1] == 1.0
    env.step(0)
    with pytest.raises(kind, match=f"environment 7 .*{said}") as caught:
        env.step(0)
    assert "step 3" in str(caught.value)
    assert "\n" not in str(caught.value)
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  # whatever it was, it crosses to another process
    assert str(copy) == str(caught.value)


def at_third_step(env: Checked) -> None:
    env.reset()
    env.step(0)
    env.step(0)


def test_parts_are_checked_one_by_one() -> None:
    inner = Answers(answer({"a": np.zeros(2, np.float32), "b": 1}))
    inner.observation_space = Dict(a=Box(-1, 1, (1,), np.float32), b=Discrete(3))
    inner.count = 2
    env = Checked(inner, "environment 0")
    with pytest.raises(EnvironmentFailure, match=r"returned an observation of shape \(2,\), but its space has \(1,\)"):
        env.step(0)
    inner.then = answer({"a": np.zeros(1, np.float32), "b": 1})
    assert env.step(0)[0]["b"] == 1


def test_the_environments_own_traceback_comes_along() -> None:
    env = Checked(Answers(do(ValueError("the wheel"))), "environment 0")
    at_third_step(env)
    with pytest.raises(EnvironmentFailure) as caught:
        env.step(0)
    (note,) = caught.value.__notes__
    assert "in then" in note
    assert note.endswith("ValueError: the wheel\n")


def test_ctrl_c_stays_what_it_is() -> None:
    env = Checked(Answers(do(KeyboardInterrupt())), "environment 0")
    at_third_step(env)
    with pytest.raises(KeyboardInterrupt):
        env.step(0)


@pytest.mark.parametrize("reward", [1, np.float32(1), np.array([1.0]), np.array(1.0), True])
def test_one_number_is_a_reward_however_it_comes(reward: Any) -> None:
    env = Checked(Answers(answer(reward=reward)), "environment 0")
    env.reset()
    for _ in range(3):
        _, found, *_ = env.step(0)
    assert found == 1.0
    assert type(found) is float
