"""Where environments are stepped: the decision by cost, what is timed for it, and that it changes no result."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from a2c.envs.choosing import plan as plan_module
from a2c.envs.choosing import timing
from a2c.envs.choosing.choose import Costs, Plan, choose
from a2c.envs.choosing.plan import plan
from a2c.envs.choosing.timing import time_processes, time_steps
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.make_vector_env import make_vector_env
from a2c.envs.single.make_env import make_env
from a2c.envs.vector import sharding
from a2c.envs.vector.inprocess import InProcessVectorEnv
from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
from a2c.errors import ConfigError, EnvironmentFailure
from envs.configs import env_config, toy, vector_config

US, MS = 1e-6, 1e-3


def costs(step: float, signal: float = 40 * US, each: float = 10 * US, slowdown: float = 1.0) -> Costs:
    return Costs(step, signal, each, slowdown)


# In K processes: ceil(N / K) steps, slower by what the cores share, and 40 us + (W - 1) x 10 us + W x 8 us for the
# signals to W workers: K - 1 if this process steps a shard, else K.
@pytest.mark.parametrize(
    ("measured", "num_envs", "cores", "processes"),
    [
        (costs(6 * US), 16, 2, 1),  # 96 us here, 48 + 48 in two
        (costs(6 * US), 128, 2, 2),  # 768 us here, 384 + 48
        (costs(6 * US, slowdown=1.7), 128, 2, 1),  # 653 + 48 = 701, but 90 % of 768 are 691
        (costs(6 * US, slowdown=2.0), 128, 2, 1),  # somebody else keeps the other core busy
        (costs(400 * US), 16, 2, 2),
        (costs(400 * US, slowdown=2.0), 16, 2, 2),  # signals are 1 % of 6.4 ms: workers cannot lose
        (costs(400 * US), 16, 64, 16),  # one environment each
        (costs(6 * US, each=20 * US), 128, 16, 5),  # 26 x 6 + 132 = 288 us; six take 22 x 6 + 160 = 292
        (costs(50 * US), 2, 2, 1),  # 100 us here, 50 + 48 in two
    ],
    ids=str,
)
def test_the_quickest_is_chosen_and_near_a_tie_this_process(
    measured: Costs, num_envs: int, cores: int, processes: int
) -> None:
    choice = choose(measured, num_envs, cores)
    expected = ("sync", None) if processes == 1 else ("workers", processes - 1)
    assert (choice.vectorization, choice.num_workers) == expected


def test_workers_alone_cost_a_signal_more() -> None:
    assert choose(costs(7 * US), 20, 2).num_workers == 1  # 140 us here, 70 + 48 in two
    assert choose(costs(7 * US), 20, 2, main_shard=False).vectorization == "sync"  # 70 + 66 to two workers
    assert choose(costs(60 * US), 16, 2, main_shard=False) == Plan(
        "workers", 2, "2 workers: a step costs 60 us; 16 take 960 us here, 546 us in 2 processes"
    )


@pytest.mark.parametrize(
    ("measured", "num_envs", "why"),
    [
        (costs(6.04 * US), 16, "in this process: a step costs 6.0 us; 16 take 97 us here, 96 us in 2 processes"),
        (
            costs(60 * US),
            16,
            "this process and 1 worker: a step costs 60 us; 16 take 960 us here, 528 us in 2 processes",
        ),
        (costs(1.5 * MS), 16, "this process and 1 worker: a step costs 1.5 ms, all signals 48 us"),
        (costs(2.0), 16, "this process and 1 worker: a step costs 2.0 s, all signals 48 us"),
    ],
    ids=str,
)
def test_the_choice_says_why(measured: Costs, num_envs: int, why: str) -> None:
    assert choose(measured, num_envs, cores=2).why == why


# ---- what is timed ----


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which passes only in environments."""
    seconds = [0.0]
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: seconds[0]))
    return seconds


class Slow(gym.Env[Any, Any]):
    """2 ms a step, 8 ms a reset every 4 steps: 4 ms in the mean. Draws from the global generators."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, now: list[float]) -> None:
        self.now = now

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.now[0] += 8 * MS
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.now[0] += 2 * MS
        random.random()
        np.random.random()
        self.count += 1
        return np.zeros(1, np.float32), 0.0, False, self.count == 4, {}


def test_a_step_is_timed_with_its_share_of_resets(now: list[float]) -> None:
    assert time_steps(Slow(now)) == pytest.approx(4 * MS, rel=0.05)  # the last episode that is timed may be cut short


def test_timing_leaves_the_global_generators_as_they_were(now: list[float]) -> None:
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    time_steps(Slow(now), 0.02)
    assert (random.random(), np.random.random()) == expected


def test_a_slow_environment_is_timed_by_one_step(now: list[float]) -> None:
    class Slower(Slow):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self.now[0] += 0.2
            return np.zeros(1, np.float32), 0.0, False, False, {}

    assert time_steps(Slower(now), 0.1) == pytest.approx(0.2)
    assert now[0] == pytest.approx(8 * MS + 0.2)  # a reset and a step


@pytest.mark.parametrize("spin", [0.0, 1e-3])
def test_signals_are_timed_on_processes_that_are_gone_afterwards(spin: float) -> None:
    measured = time_processes(1.0, 3, spin)  # conftest looks for processes that were left
    assert measured.step == 1.0
    assert measured.signal > 0
    assert measured.each >= 0
    assert 1 <= measured.slowdown <= 3


def test_where_no_process_can_be_started_usual_costs_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing.sys, "executable", "/no/such/python")
    assert time_processes(1.0, 2) == Costs(1.0, *timing.USUAL)


# ---- auto ----


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "usable_cores", lambda: 2)


def choice_of(monkeypatch: pytest.MonkeyPatch, step: float, **settings: Any) -> Plan:
    """What auto plans for CartPole if a step takes so long."""
    monkeypatch.setattr(plan_module, "time_steps", lambda env: step)
    monkeypatch.setattr(plan_module, "time_processes", lambda step, count, spin=None: costs(step))
    return plan(vector_config(env_config("CartPole-v1"), "auto", **settings))


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(("step", "kind"), [(1 * US, InProcessVectorEnv), (10 * MS, ShardedAsyncVectorEnv)])
def test_auto_makes_what_it_chose(monkeypatch: pytest.MonkeyPatch, step: float, kind: type) -> None:
    choice = choice_of(monkeypatch, step)
    envs = make_vector_env(env_config("CartPole-v1"), 3, choice)
    assert type(envs) is kind
    if isinstance(envs, ShardedAsyncVectorEnv):  # this process steps the other shard
        assert (choice.vectorization, envs.num_workers) == ("workers", 1)
    envs.close()


@pytest.mark.parametrize(("step", "expected"), [(10 * MS, ("workers", 2)), (9 * US, ("sync", None))])
def test_groups_of_environments_are_left_to_workers_that_sleep_in_between(
    monkeypatch: pytest.MonkeyPatch, step: float, expected: tuple[str, int | None]
) -> None:
    """16 in 2 groups on 4 cores: 8 on 2 cores each, 72 us here, 36 us + 66 us of signals in two workers."""
    monkeypatch.setattr(plan_module, "usable_cores", lambda: 4)
    monkeypatch.setattr(plan_module, "time_steps", lambda env: step)
    told = []
    monkeypatch.setattr(
        plan_module, "time_processes", lambda step, count, spin: (told.append((count, spin)), costs(step))[1]
    )
    cfg = vector_config(env_config("CartPole-v1"), "auto", num_envs=16)
    cfg.env_groups = 2
    choice = plan(cfg)
    assert (choice.vectorization, choice.num_workers) == expected
    assert told == [(2, 0.0)]


@pytest.mark.parametrize(
    ("workers", "num_envs", "why"),
    [
        (None, 8, "this process and 3 workers"),
        (1, 8, "this process and 1 worker"),
        (3, 8, "this process and 3 workers"),
        (4, 8, "4 workers"),  # no core is left for this process
        (7, 3, "3 workers"),
        (None, 1, "1 worker"),
    ],
)
def test_it_is_said_how_many_workers_there_will_be(
    monkeypatch: pytest.MonkeyPatch, workers: int | None, num_envs: int, why: str
) -> None:
    monkeypatch.setattr(plan_module, "usable_cores", lambda: 4)
    monkeypatch.setattr(sharding, "usable_cores", lambda: 4)
    cfg = vector_config(env_config("CartPole-v1"), "workers", num_envs, workers)
    choice = plan(cfg)
    assert choice.why == why
    envs = make_vector_env(cfg.env, cfg.num_envs, choice)
    assert isinstance(envs, ShardedAsyncVectorEnv)
    assert len(envs.processes) == int(why.split()[-2])
    envs.reset(seed=0)
    envs.close()


@pytest.mark.usefixtures("two_cores")
def test_a_native_environment_is_pointed_at_and_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = choice_of(monkeypatch, 1 * US)
    assert choice.vectorization == "sync"
    assert choice.hint == "vectorization=native: CartPole-v1 has a vector environment that draws its own random numbers"
    assert plan(vector_config(env_config("Pendulum-v1"), "auto", num_envs=1)).hint == ""


def test_a_number_of_workers_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = choice_of(monkeypatch, 1 * US, num_envs=4, num_workers=3)
    assert (choice.vectorization, choice.num_workers) == ("workers", 3)
    assert choice.why == "3 workers, as num_workers says"


@pytest.mark.parametrize(("num_envs", "cores", "why"), [(1, 8, "one environment"), (8, 1, "there is one usable core")])
def test_what_cannot_be_shared_out_is_not_timed(
    monkeypatch: pytest.MonkeyPatch, num_envs: int, cores: int, why: str
) -> None:
    monkeypatch.setattr(plan_module, "usable_cores", lambda: cores)
    monkeypatch.setattr(plan_module, "time_steps", lambda env: pytest.fail("timed"))
    choice = plan(vector_config(env_config("CartPole-v1"), "auto", num_envs))
    assert (choice.vectorization, choice.why) == ("sync", f"in this process: {why}")


@pytest.mark.usefixtures("two_cores")
def test_a_step_timeout_takes_workers_because_only_they_can_be_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "time_steps", lambda env: pytest.fail("it might hang"))
    env = env_config(toy("Faulty-v0"), fault="hang")
    env.step_timeout = 5.0  # far more than a busy machine needs for a signal
    cfg = vector_config(env, "auto")
    choice = plan(cfg)
    assert choice == Plan("workers", 2, "2 workers: env.step_timeout needs processes, which can be ended")
    envs = LockstepEnvs(make_vector_env(cfg.env, cfg.num_envs, choice), step_timeout=5.0)
    envs.reset([1, 2, 3])
    envs.step(np.zeros(3, np.int64))
    envs.step(np.zeros(3, np.int64))
    with pytest.raises(EnvironmentFailure, match=r"environment 0 did not answer in 5 s \(worker 0"):
        envs.step(np.zeros(3, np.int64))
    envs.close()


@pytest.mark.usefixtures("two_cores")
def test_an_environment_that_raises_while_it_is_timed_raises_in_the_run_with_its_index_and_step() -> None:
    cfg = vector_config(env_config(toy("Faulty-v0"), fault="raise"), "auto")
    choice = plan(cfg)
    assert choice.why == "this process and 1 worker: the environment raised ValueError while it was timed"
    envs = LockstepEnvs(make_vector_env(cfg.env, cfg.num_envs, choice))
    envs.reset([1, 2, 3])
    envs.step(np.zeros(3, np.int64))
    envs.step(np.zeros(3, np.int64))
    with pytest.raises(
        EnvironmentFailure, match=r"environment \d \((worker \d|main process), pid \d+\) raised ValueError in step 3"
    ):
        envs.step(np.zeros(3, np.int64))
    envs.close()


@pytest.mark.parametrize(
    ("env", "error"),
    [(env_config("CartPol-v1"), ConfigError), (env_config(toy("Faulty-v0"), fault="constructor"), EnvironmentFailure)],
    ids=["id", "constructor"],
)
def test_an_environment_that_cannot_be_made_fails_as_it_always_does(env: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as expected:
        make_env(env)
    with pytest.raises(error) as caught:
        plan(vector_config(env, "auto"))
    assert str(caught.value) == str(expected.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (3, True, "this process and 3 workers")),
        ({"num_workers": 3}, (3, True, "this process and 3 workers")),
        ({"num_workers": 4}, (4, False, "4 workers")),  # no core is left for this process
        ({"num_workers": 4, "main_shard": True}, (4, True, "this process and 4 workers")),
        ({"main_shard": False}, (4, False, "4 workers")),
        ({"step_timeout": 9.0}, (4, False, "4 workers")),
        (
            {"step_timeout": 9.0, "main_shard": True},
            (4, False, "4 workers, and no shard in this process because of env.step_timeout"),
        ),
        ({"env_groups": 2}, (2, False, "2 workers")),  # of each group
        (
            {"env_groups": 2, "main_shard": True},
            (2, False, "2 workers, and no shard in this process because of env_groups"),
        ),
    ],
    ids=str,
)
def test_this_process_takes_a_shard_unless_something_forbids_it(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], expected: tuple[int, bool, str]
) -> None:
    monkeypatch.setattr(plan_module, "usable_cores", lambda: 4)
    env = env_config("CartPole-v1")
    env.step_timeout = settings.pop("step_timeout", None)
    groups = settings.pop("env_groups", 1)
    cfg = vector_config(env, "workers", num_envs=16, **settings)
    cfg.env_groups = groups
    found = plan(cfg)
    assert (found.num_workers, found.main_shard, found.why) == expected
    assert found.processes(16) == expected[0] + expected[1]
