"""Whatever an environment does wrong is named: which one, where, and how; and close always ends."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError
from gymnasium.spaces import Box, Discrete, MultiBinary

from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
from a2c.errors import EnvironmentFailure
from envs.sharded_toys import DiceEnv, FaultyEnv, StepCounter, faulty, making, third_step_raises, wait_until_all_but

ACTIONS = np.zeros(4, np.int64)
Make = Any


@pytest.fixture
def make() -> Iterator[Make]:
    """A vector environment of 4 environments on 2 workers, closed after the test in the default way."""
    with making(num_workers=2) as build:
        yield build


def pid_of(envs: ShardedAsyncVectorEnv, worker: int) -> int:
    return int(envs.processes[worker].pid)


def test_a_raising_step_comes_out_as_itself_with_index_pid_step_and_traceback(make: Make) -> None:
    envs = make(faulty(4, 2, fault="value_error", on_step=3))
    caught = third_step_raises(envs, ValueError, "the wheel")
    assert str(caught) == "the wheel came off: 100 %s % done"
    line, trace = caught.__notes__
    assert line == (
        f"environment 2 (worker 1, pid {pid_of(envs, 1)}) raised ValueError in step 3; its traceback follows"
    )
    assert trace.startswith("Traceback (most recent call last):")
    assert "in _value_error" in trace
    assert trace.endswith("ValueError: the wheel came off: 100 %s % done\n")


@pytest.mark.parametrize("where", ["reset", "step"])
def test_nothing_but_close_is_possible_after_a_failure(make: Make, where: str) -> None:
    envs = make(faulty(4, 3, fault="value_error", where=where))
    if where == "step":
        envs.reset()
    with pytest.raises(ValueError, match="the wheel"):
        envs.step(ACTIONS) if where == "step" else envs.reset()
    for operation in (lambda: envs.step(ACTIONS), envs.reset, lambda: envs.call("pid"), lambda: envs.step_wait()):
        with pytest.raises(ClosedEnvironmentError, match=r"environment 3 \(worker 1, pid \d+\) raised ValueError"):
            operation()


def test_a_failing_constructor_is_named_before_the_vector_environment_exists() -> None:
    with pytest.raises(ValueError, match="the wheel") as caught:
        ShardedAsyncVectorEnv(faulty(4, 3, fault="value_error", where="constructor"), num_workers=2)
    assert re.fullmatch(
        r"environment 3 \(worker 1, pid \d+\) raised ValueError in its constructor; its traceback follows",
        caught.value.__notes__[0],
    )


def test_the_first_constructor_fails_in_the_main_process() -> None:
    with pytest.raises(ValueError, match="the wheel") as caught:
        ShardedAsyncVectorEnv(faulty(2, 0, fault="value_error", where="constructor"))
    assert "environment 0" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        ("odd_error", "OddError", "odd (7)"),
        ("unpicklable", "UnpicklableError", "cannot travel"),
        ("system_exit", "SystemExit", "3"),
    ],
)
def test_an_exception_that_cannot_be_rebuilt_comes_as_text(make: Make, fault: str, kind: str, text: str) -> None:
    envs = make(faulty(4, 1, fault=fault))
    envs.reset()
    expected = f"environment 1 (worker 0, pid {pid_of(envs, 0)}) raised {kind} in step 1: {text}"
    with pytest.raises(EnvironmentFailure, match=re.escape(expected)) as caught:
        envs.step(ACTIONS)
    assert f"in _{fault}" in caught.value.__notes__[1]


def test_an_exception_of_a_local_class_keeps_its_type_and_text(make: Make) -> None:
    envs = make(faulty(4, 1, fault="local_error"))
    envs.reset()
    with pytest.raises(RuntimeError, match="known to no module") as caught:
        envs.step(ACTIONS)
    assert type(caught.value).__name__ == "LocalError"


def test_gymnasiums_error_lines_do_not_replace_the_exception_when_warnings_are_errors(make: Make) -> None:
    envs = make(faulty(4, 1, fault="value_error"))
    envs.log_failures = True
    envs.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="the wheel"):
            envs.step(ACTIONS)


@pytest.mark.parametrize(
    ("fault", "how"), [("killed", r"was killed by SIGKILL \(out of memory\?\)"), ("quits", "exited with code 5")]
)
def test_a_worker_that_dies_in_a_step_is_named_with_its_cause(make: Make, fault: str, how: str) -> None:
    envs = make(faulty(4, 3, fault=fault))
    envs.reset()
    pid = pid_of(envs, 1)
    expected = rf"worker 1 \(pid {pid}, environments 2-3\) {how} while it ran environment 3"
    with pytest.raises(EnvironmentFailure, match=expected):
        envs.step(ACTIONS)
    with pytest.raises(ClosedEnvironmentError):
        envs.step(ACTIONS)


def test_a_worker_that_dies_between_steps_is_named(make: Make) -> None:
    envs = make(faulty(4))
    envs.reset()
    os.kill(pid_of(envs, 0), signal.SIGKILL)
    with pytest.raises(EnvironmentFailure, match=r"worker 0 \(pid \d+, environments 0-1\) was killed by SIGKILL"):
        envs.step(ACTIONS)


def test_a_dead_worker_is_noticed_behind_a_slow_one(make: Make) -> None:
    envs = make([partial(FaultyEnv, "hang"), *faulty(3, 1, fault="killed")], num_workers=4)
    envs.reset()
    with pytest.raises(EnvironmentFailure, match=r"worker 2 \(pid \d+, environment 2\) was killed by SIGKILL"):
        envs.step(ACTIONS)  # for ever, if it waited for environment 0


def test_a_failure_is_raised_while_another_environment_hangs(make: Make) -> None:
    envs = make([partial(FaultyEnv, "hang"), *faulty(3, 2, fault="value_error")])
    envs.reset()
    with pytest.raises(ValueError, match="the wheel"):
        envs.step(ACTIONS)


@pytest.mark.parametrize("kind", [multiprocessing.TimeoutError, TimeoutError])
def test_a_timeout_names_the_environment_and_ends_the_stepping(make: Make, kind: type[Exception]) -> None:
    envs = make(faulty(4, 1, fault="hang", on_step=2))
    envs.reset()
    envs.step(ACTIONS)
    envs.step_async(ACTIONS)
    wait_until_all_but(envs, 1)
    expected = f"environment 1 did not answer in 0.3 s (worker 0, pid {pid_of(envs, 0)})"
    with pytest.raises(kind, match=f"^{re.escape(expected)}$"):
        envs.step_wait(timeout=0.3)
    # The late answer of this step would be taken for that of the next one.
    with pytest.raises(ClosedEnvironmentError, match="environment 1 did not answer"):
        envs.step(ACTIONS)


def test_a_hanging_reset_is_named(make: Make) -> None:
    envs = make(faulty(4, 2, fault="hang", where="reset"))
    envs.reset_async()
    wait_until_all_but(envs, 2)
    with pytest.raises(TimeoutError, match=r"environment 2 did not answer in 0\.3 s"):
        envs.reset_wait(timeout=0.3)


@pytest.mark.parametrize("fault", ["hang_in_c", "hang_and_ignore"])
def test_close_ends_hung_workers_with_its_default_arguments(fault: str) -> None:
    envs = ShardedAsyncVectorEnv(faulty(4, 1, fault=fault), num_workers=2)
    envs.reset()
    envs.step_async(ACTIONS)
    workers = envs.processes
    with pytest.warns(UserWarning, match="Calling `close` while waiting for a pending call to `step`"):
        envs.close()
    assert [worker.is_alive() for worker in workers] == [False, False]


@pytest.mark.parametrize("fault", ["hang", "value_error", "killed", "quits"])
def test_close_ends_although_an_environment_cannot_be_closed(fault: str) -> None:
    env_fns = faulty(4, 1, fault=fault, where="close")
    envs = ShardedAsyncVectorEnv(env_fns, num_workers=2)
    envs.reset()
    workers = envs.processes
    envs.close(timeout=0.3)
    assert [worker.is_alive() for worker in workers] == [False, False]


@pytest.mark.parametrize("reward", [None, "1", [1.0], np.zeros(2), np.zeros((0,)), 1j, {}], ids=repr)
def test_a_reward_that_is_no_real_number_is_named(make: Make, reward: Any) -> None:
    envs = make(faulty(4, 2, answer=(np.zeros(3, np.float32), reward)))
    envs.reset()
    with pytest.raises(EnvironmentFailure) as caught:
        envs.step(ACTIONS)
    hint = " (a wrapper can make one number of them)" if isinstance(reward, list | np.ndarray) else ""
    assert str(caught.value) == (
        f"environment error: environment 2 (worker 1, pid {pid_of(envs, 1)}) returned the reward {reward!r}, "
        f"which is no real number{hint}, in step 1"
    )


@pytest.mark.parametrize("reward", [2, True, np.float32(2), np.int8(2), np.array(2.0), np.array([2.0])], ids=repr)
def test_a_number_of_any_type_is_a_reward(make: Make, reward: Any) -> None:
    envs = make(faulty(4, 2, answer=(np.zeros(3, np.float32), reward)))
    envs.reset()
    _, rewards, *_ = envs.step(ACTIONS)
    assert rewards.dtype == np.float64
    assert rewards.tolist() == [0.0, 0.0, float(np.asarray(reward).item()), 0.0]


@pytest.mark.parametrize("shape", [(), (1,), (3, 1), (1, 3), (4,), (0,)], ids=str)
def test_an_observation_of_another_shape_is_named_not_broadcast(make: Make, shape: tuple[int, ...]) -> None:
    envs = make(faulty(4, 2, answer=(np.zeros(shape, np.float32), 0.0)))
    envs.reset()
    with pytest.raises(EnvironmentFailure) as caught:
        envs.step(ACTIONS)
    assert f"environment 2 (worker 1, pid {pid_of(envs, 1)}) returned an observation" in str(caught.value)
    assert f"of shape {shape}, but its space has (3,), in step 1" in str(caught.value)


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.uint8, np.complex64, object, "U1"], ids=str)
def test_an_observation_array_of_another_kind_is_named(make: Make, dtype: Any) -> None:
    envs = make(faulty(4, 2, answer=(np.zeros(3, dtype), 0.0)))
    envs.reset()
    with pytest.raises(EnvironmentFailure, match=r"environment 2 .* observation of dtype .* space has float32"):
        envs.step(ACTIONS)


@pytest.mark.parametrize("obs", [[1.0, 2.0, 3.0], (1, 2, 3), np.array([1.0, 2.0, 3.0])], ids=repr)
def test_lists_and_other_float_widths_are_observations(make: Make, obs: Any) -> None:
    envs = make(faulty(4, 2, answer=(obs, 0.0)))
    envs.reset()
    batch, *_ = envs.step(ACTIONS)
    np.testing.assert_array_equal(batch[2], [1, 2, 3])
    assert batch.dtype == np.float32


class IntegerEnv(StepCounter):
    """Its space holds bytes, its observation is what it is given."""

    def __init__(self, space: Any, obs: Any) -> None:
        super().__init__()
        self.observation_space, self.obs = space, obs

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        return self.obs, {}


@pytest.mark.parametrize(
    ("space", "obs", "fits"),
    [
        (Box(0, 255, (2,), np.uint8), np.array([0, 255]), True),
        (Box(0, 255, (2,), np.uint8), np.array([0, 256]), False),  # would wrap around to 0
        (Box(0, 255, (2,), np.uint8), np.array([0, -1]), False),
        (Box(0, 255, (2,), np.uint8), np.array([0.0, 1.0]), False),
        (MultiBinary(2), np.array([True, False]), True),
        (Discrete(3), 2, True),
        (Discrete(3), np.int32(2), True),
        (Discrete(3), 2.0, False),
    ],
    ids=str,
)
def test_integers_fit_where_no_value_changes(make: Make, space: Any, obs: Any, fits: bool) -> None:
    envs = make([partial(IntegerEnv, space, obs)] * 2)
    if fits:
        batch, _ = envs.reset()
        np.testing.assert_array_equal(batch, [obs, obs])
    else:
        with pytest.raises(EnvironmentFailure, match="returned an observation of dtype"):
            envs.reset()


def test_a_final_observation_is_checked_too(make: Make) -> None:
    class ShortEnd(StepCounter):
        def step(self, action: Any) -> Any:
            return np.zeros(2, np.float32), 0.0, True, False, {}

    envs = make([ShortEnd] * 2, autoreset_mode="SameStep")
    envs.reset()
    with pytest.raises(EnvironmentFailure, match=r"shape \(2,\), but its space has \(3,\)"):
        envs.step(np.zeros((2, 2), np.float32))


def test_infos_that_cannot_be_pickled_are_an_error_of_the_environment(make: Make) -> None:
    class Talkative(StepCounter):
        def step(self, action: Any) -> Any:
            return np.zeros(3, np.float32), 0.0, False, False, {"lock": multiprocessing.Lock()}

    envs = make([Talkative] * 2)
    envs.reset()
    with pytest.raises(RuntimeError, match="only be shared between processes") as caught:
        envs.step(np.zeros((2, 2), np.float32))
    assert "in step 1" in caught.value.__notes__[0]


def test_actions_of_a_wrong_number_leave_the_environments_as_they_were(make: Make) -> None:
    envs = make([DiceEnv] * 4)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="3 actions for 4 environments"):
        envs.step(ACTIONS[:3])
    envs.step(ACTIONS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"worker": print}, "custom `worker`"),
        ({"num_workers": 0}, "`num_workers` must be positive"),
        ({"num_workers": 1.5}, "`num_workers` must be an integer"),
        ({"max_concurrency": 0}, "`max_concurrency` must be positive"),
        ({"observation_mode": "other"}, "Invalid `observation_mode`"),
        ({"autoreset_mode": "Never"}, "not a valid AutoresetMode"),
        ({"env_fns": []}, "at least one function"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShardedAsyncVectorEnv(**{"env_fns": [StepCounter], **arguments})


def test_spaces_that_differ_are_named() -> None:
    with pytest.raises(RuntimeError, match="Environment 2 differs from environment 0"):
        ShardedAsyncVectorEnv([StepCounter, StepCounter, partial(IntegerEnv, Discrete(3), 0)], num_workers=2)


def test_an_environment_function_that_cannot_travel_is_named() -> None:
    with pytest.raises(TypeError) as caught:
        ShardedAsyncVectorEnv([FaultyEnv, partial(FaultyEnv, answer=threading.Lock())], num_workers=2)
    assert "the function that makes environment 1 cannot be sent" in caught.value.__notes__[0]


def test_the_worker_count_is_bounded(make: Make) -> None:
    assert len(make(faulty(2), num_workers=5).processes) == 2
    assert len(make(faulty(4), num_workers=4, max_concurrency=3).processes) == 3
