"""``vectorization=async``: Gymnasium's AsyncVectorEnv behind the same checks as our own workers."""

from __future__ import annotations

import functools
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.vector.one_process_each import OneProcessEach
from a2c.errors import A2CError, EnvironmentFailure, NumericError
from envs.toys import CountingEnv


class UnpicklableError(Exception):
    """Holds what cannot travel."""

    def __init__(self) -> None:
        super().__init__("cannot travel: 100 %s")
        self.file = open("/dev/null")  # noqa: SIM115


class Third(gym.Env[Any, Any]):
    """Steps twice as it should; in the third step one of the environments does something else."""

    def __init__(self, fault: str = "") -> None:
        self.observation_space, self.action_space = Box(-1, 1, (3,), np.float32), Discrete(2)
        self.fault, self.count = fault, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.count += 1
        obs, reward = np.zeros(3, np.float32), 1.0
        fault = self.fault if self.count == 3 else ""
        if fault == "unpicklable":
            raise UnpicklableError
        if fault == "exit":
            sys.exit("no license")
        if fault == "hang":
            time.sleep(3600)
        if fault == "text":
            reward = "much"  # type: ignore[assignment]
        if fault == "nan":
            reward = float("nan")
        return obs[:1] if fault == "shape" else obs, reward, False, False, {}


class NeedsALicense(CountingEnv):
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no license")


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (
            "unpicklable",
            EnvironmentFailure,
            r"environment 1 \(pid \d+\) raised UnpicklableError in step 3: cannot trav",
        ),
        ("exit", EnvironmentFailure, r"environment 1 \(pid \d+\) raised SystemExit in step 3: no license"),
        ("text", EnvironmentFailure, "environment 1 returned the reward 'much', which is no real number, in step 3"),
        (
            "shape",
            EnvironmentFailure,
            r"environment 1 returned an observation of shape \(1,\), but its space has \(3,\)",
        ),
        ("nan", NumericError, "environment 1 gave the reward nan in step 3"),
    ],
)
def test_what_gymnasium_alone_lets_through_or_hangs_on_is_named(fault: str, kind: type[A2CError], said: str) -> None:
    makes: list[Callable[[], Any]] = [Third, functools.partial(Third, fault)]
    envs = LockstepEnvs(OneProcessEach(makes))
    try:
        envs.reset([1, 2])
        for _ in range(2):
            envs.step(np.zeros(2, np.int64))
        with pytest.raises(kind, match=said) as caught:
            envs.step(np.zeros(2, np.int64))
        assert str(caught.value).count("error:") == 1  # one label, however many processes it came through
        if fault == "unpicklable":
            assert "raise UnpicklableError" in caught.value.__notes__[0]
    finally:
        envs.close(terminate=True)


def test_a_constructor_that_fails_names_its_environment() -> None:
    def broken() -> Any:
        raise RuntimeError("no license")

    with pytest.raises(
        EnvironmentFailure, match=r"environment 0 \(pid \d+\) raised RuntimeError in its constructor: no"
    ):
        OneProcessEach([broken, CountingEnv])


def test_a_constructor_that_fails_in_its_process_names_its_environment() -> None:
    with pytest.raises(
        EnvironmentFailure, match=r"environment 1 \(pid \d+\) raised RuntimeError in its constructor: no"
    ):
        OneProcessEach([CountingEnv, NeedsALicense])


def test_an_environment_that_hangs_is_named() -> None:
    envs = LockstepEnvs(OneProcessEach([Third, functools.partial(Third, "hang")]), step_timeout=5.0)
    try:
        envs.reset([1, 2])
        for _ in range(2):
            envs.step(np.zeros(2, np.int64))
        with pytest.raises(EnvironmentFailure, match=r"environment 1 did not answer: .*timed out after 5.0 second"):
            envs.step(np.zeros(2, np.int64))
    finally:
        envs.close(terminate=True)


SCRIPT = """
import pathlib, sys
with open("started", "a") as file:
    file.write("x")
import numpy as np
import gymnasium as gym
from a2c.envs.vector.one_process_each import OneProcessEach

class Mine(gym.Env):
    observation_space, action_space = gym.spaces.Box(-1, 1, (1,), np.float32), gym.spaces.Discrete(2)
    def reset(self, *, seed=None, options=None): return np.zeros(1, np.float32), {}
    def step(self, action): return np.zeros(1, np.float32), 1.0, False, False, {}

gym.register("Mine-v0", Mine)
envs = OneProcessEach([lambda: gym.make("Mine-v0", disable_env_checker=True)] * 2)
envs.reset(seed=0)
print(envs.step(np.zeros(2, np.int64))[1].tolist())
envs.close()
"""


def test_an_unguarded_script_runs_once(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[1.0, 1.0]\n"
    assert (tmp_path / "started").read_text() == "x"


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs pidfd")
def test_processes_leave_with_a_killed_trainer_even_if_their_environment_hangs(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    body = f"""
import os, sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
import numpy as np
from a2c.envs.vector.one_process_each import OneProcessEach
from envs.sharded_toys import faulty
if __name__ == "__main__":
    envs = OneProcessEach(faulty(2, 1, fault="hang"))
    envs.reset()
    envs.step_async(np.zeros(2, np.int64))
    Path("{ready}.new").write_text(" ".join(str(process.pid) for process in envs.processes))
    os.rename("{ready}.new", "{ready}")
    time.sleep(3600)
"""
    script = tmp_path / "trainer.py"
    script.write_text(body)
    process = subprocess.Popen([sys.executable, str(script)])
    try:
        while not ready.exists():
            assert process.poll() is None
            time.sleep(0.02)
        pidfds = [os.pidfd_open(int(pid)) for pid in ready.read_text().split()]
    finally:
        process.kill()
        process.wait()
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], 60.0)[0], "a process outlived its trainer"
        os.close(pidfd)
