"""The shard of the main process: it fails, is named and is closed like those of the workers."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError

from a2c.envs.vector import main_shard, sharded, sharding
from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
from a2c.errors import EnvironmentFailure
from a2c.machine.processes import pool
from envs.sharded_toys import PATIENCE, FaultyEnv, StepCounter, faulty, making, third_step_raises, wait_until_all_but

ACTIONS = np.zeros(4, np.int64)
Make = Any


@pytest.fixture
def make() -> Iterator[Make]:
    """4 environments: 0 and 1 in a worker, 2 and 3 in this process; closed after the test."""
    with making(num_workers=1, main_shard=True) as build:
        yield build


def test_the_last_shard_is_stepped_here_and_the_others_are_not(make: Make) -> None:
    envs = make(faulty(5), num_workers=2)
    workers = [process.pid for process in envs.processes]
    assert len(workers) == 2
    # ceil(5 k / 3): shards of 2, 2 and 1; this process, which has more to do, gets the smallest.
    assert envs.call("pid") == (workers[0], workers[0], workers[1], workers[1], os.getpid())


@pytest.mark.parametrize(
    ("num_envs", "arguments", "workers"),
    [
        (8, {"num_workers": None}, 3),  # 4 cores, of which this process has one
        (8, {"num_workers": 2}, 2),
        (3, {"num_workers": 7}, 2),
        (8, {"num_workers": None, "max_concurrency": 2}, 1),
        (1, {"num_workers": 1}, 0),
    ],
    ids=str,
)
def test_the_worker_count_leaves_a_shard_for_this_process(
    make: Make, monkeypatch: pytest.MonkeyPatch, num_envs: int, arguments: dict[str, Any], workers: int
) -> None:
    monkeypatch.setattr(sharding, "usable_cores", lambda: 4)
    envs = make(faulty(num_envs), **arguments)
    assert len(envs.processes) == envs.num_workers == workers
    envs.reset(seed=0)
    _, rewards, *_ = envs.step(np.zeros(num_envs, np.int64))
    assert rewards.tolist() == [0.0] * num_envs


@pytest.mark.parametrize(("cores", "spun"), [(2, True), (1, False)])
def test_processes_wait_awake_only_where_each_has_a_core(
    make: Make, monkeypatch: pytest.MonkeyPatch, cores: int, spun: bool
) -> None:
    told = []
    start_workers = sharded.start_workers
    monkeypatch.setattr(sharded, "usable_cores", lambda: cores)
    monkeypatch.setattr(sharded, "start_workers", lambda *args: (told.append(args[-1]), start_workers(*args)))
    make(faulty(4))
    make(faulty(4), main_shard=False)
    assert [seconds > 0 for seconds in told] == [spun, False]


def test_a_raising_environment_of_this_process_is_named_like_any_other(make: Make) -> None:
    envs = make(faulty(4, 2, fault="value_error", on_step=3))
    caught = third_step_raises(envs, ValueError, "the wheel")
    line, trace = caught.__notes__
    assert line == (
        f"environment 2 (main process, pid {os.getpid()}) raised ValueError in step 3; its traceback follows"
    )
    assert "in _value_error" in trace
    with pytest.raises(ClosedEnvironmentError, match="environment 2"):
        envs.step(ACTIONS)


def test_of_two_failures_here_and_in_a_worker_the_first_environments_is_raised(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main_shard, "GATHER", PATIENCE)  # however slow the machine is
    envs = make(faulty(4, 1, 3, fault="value_error"))
    envs.reset()
    with pytest.raises(ValueError, match="the wheel") as caught:
        envs.step(ACTIONS)
    assert caught.value.__notes__[0].startswith("environment 1 (worker 0,")


def test_a_failure_here_is_raised_while_a_worker_hangs(make: Make) -> None:
    envs = make([partial(FaultyEnv, "hang"), *faulty(3, 2, fault="value_error")])
    envs.reset()
    with pytest.raises(ValueError, match="the wheel") as caught:
        envs.step(ACTIONS)
    assert caught.value.__notes__[0].startswith("environment 3 (main process,")


def test_an_environment_that_exits_does_not_end_the_program(make: Make) -> None:
    envs = make(faulty(4, 3, fault="system_exit"))
    envs.reset()
    expected = f"environment 3 (main process, pid {os.getpid()}) raised SystemExit in step 1: 3"
    with pytest.raises(EnvironmentFailure, match=re.escape(expected)):
        envs.step(ACTIONS)


def test_control_c_in_a_step_here_is_the_users(make: Make) -> None:
    class Interrupted(FaultyEnv):
        def step(self, action: Any) -> Any:
            raise KeyboardInterrupt

    envs = make([FaultyEnv, FaultyEnv, FaultyEnv, Interrupted])
    envs.reset()
    with pytest.raises(KeyboardInterrupt):
        envs.step(ACTIONS)
    with pytest.raises(ClosedEnvironmentError):  # the step was left half done
        envs.step(ACTIONS)


def test_a_worker_that_dies_while_this_process_steps_is_named(make: Make) -> None:
    envs = make(faulty(4, 1, fault="killed"))
    envs.reset()
    expected = r"worker 0 \(pid \d+, environments 0-1\) was killed by SIGKILL .* while it ran environment 1"
    with pytest.raises(EnvironmentFailure, match=expected):
        envs.step(ACTIONS)


def test_a_worker_that_died_between_steps_is_named(make: Make) -> None:
    envs = make(faulty(4))
    envs.reset()
    os.kill(envs.processes[0].pid, signal.SIGKILL)
    with pytest.raises(EnvironmentFailure, match=r"worker 0 \(pid \d+, environments 0-1\) was killed by SIGKILL"):
        envs.step(ACTIONS)


def test_a_hanging_worker_is_given_up_on(make: Make) -> None:
    envs = make(faulty(4, 1, fault="hang"))
    envs.reset()
    envs.step_async(ACTIONS)
    wait_until_all_but(envs, 1)
    with pytest.raises(TimeoutError, match=r"environment 1 did not answer in 0\.3 s \(worker 0"):
        envs.step_wait(timeout=0.3)


def test_a_worker_has_its_time_once_this_process_is_done(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done, late = tmp_path / "done", [0.0]

    class Main(FaultyEnv):
        def step(self, action: Any) -> Any:
            late[0] = 2 * PATIENCE  # by the clock of the pool, this process takes twice what a worker may
            done.touch()
            return super().step(action)

    class Slower(FaultyEnv):
        def step(self, action: Any) -> Any:
            while not done.exists():
                time.sleep(0.1)
            return super().step(action)

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + late[0])
    monkeypatch.setattr(pool, "time", clock)
    envs = make([Slower, FaultyEnv, FaultyEnv, Main])
    envs.reset()
    envs.step_async(ACTIONS)
    envs.step_wait(timeout=PATIENCE)  # counted from the start, it would be over before the worker can answer


def test_what_is_sent_may_be_changed_by_the_caller_before_it_is_done(make: Make) -> None:
    envs = make([StepCounter] * 4)
    envs.reset()
    actions = np.full((4, 2), 1 / 3)  # float64: by pipe, as the caller wrote them
    envs.step_async(actions)
    actions[:] = 0
    envs.step_wait()
    np.testing.assert_array_equal(envs.get_attr("first_action"), np.full((4, 2), 1 / 3))
    mask = np.array([True, True, False, True])
    envs.reset_async(options={"reset_mask": mask})
    mask[:] = False
    obs, _ = envs.reset_wait()
    np.testing.assert_array_equal(obs[:, 0], [0, 0, 1, 0])


def test_a_failing_constructor_here_leaves_no_process() -> None:
    with pytest.raises(ValueError, match="the wheel") as caught:
        ShardedAsyncVectorEnv(faulty(4, 3, fault="value_error", where="constructor"), num_workers=1, main_shard=True)
    assert caught.value.__notes__[0].startswith("environment 3 (main process,")  # conftest looks for processes


def test_spaces_that_differ_here_are_named() -> None:
    class Other(StepCounter):
        observation_space = FaultyEnv.action_space

    with pytest.raises(RuntimeError, match="Environment 2 differs from environment 0"):
        ShardedAsyncVectorEnv([StepCounter, StepCounter, Other], num_workers=1, main_shard=True)


@pytest.mark.parametrize("terminate", [False, True])
def test_close_closes_the_environments_here_too(tmp_path: Path, terminate: bool) -> None:
    class Signed(StepCounter):
        def close(self) -> None:
            (tmp_path / str(os.getpid())).touch()

    envs = ShardedAsyncVectorEnv([Signed] * 2, num_workers=1, main_shard=True)
    (tmp_path / str(os.getpid())).unlink()  # of the one that was made to learn the spaces
    worker = envs.processes[0]
    envs.close(terminate=terminate)
    assert {int(path.name) for path in tmp_path.iterdir()} == (
        {os.getpid()} if terminate else {os.getpid(), worker.pid}
    )
    assert not worker.is_alive()
