"""Where episodes end: every vectorization and autoreset mode learns the same thing from the same stream.

The environment counts: it observes its own step number, so that a wrong successor, a lost or a doubled row shows in
the returns.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from torch import Tensor
from torch.testing import assert_close

from a2c.collecting.collector import Collector
from a2c.collecting.device_collector import AnyCollector, DeviceCollector
from a2c.envs.device.lockstep import DeviceEnvs
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.spaces import spaces_of
from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
from a2c.learning import learner as learner_module
from a2c.learning.learner import Learner
from a2c.maths.distributions import Categorical
from a2c.maths.losses import loss_gradients
from a2c.rollout import Rollout
from a2c.settings.config import Config
from builders import config, kept, make_model, relative_error
from device_toys import CountingDevice, DeviceToy
from envs.configs import OURS, planned
from envs.toys import ENDS, CountingEnv, CountingVectorEnv
from reference import Transition, naive_a2c

LENGTHS = (3, 4, 5)
SAME, NEXT, DISABLED = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED


def makers(end: str) -> list[Callable[[], CountingEnv]]:
    return [partial(CountingEnv, length, end) for length in LENGTHS]


def synchronous(end: str, mode: AutoresetMode) -> VectorEnv[Any, Any, Any]:
    return SyncVectorEnv(makers(end), autoreset_mode=mode)


def asynchronous(end: str, mode: AutoresetMode) -> VectorEnv[Any, Any, Any]:
    return AsyncVectorEnv(makers(end), context="forkserver", autoreset_mode=mode)


def sharded(end: str, mode: AutoresetMode) -> VectorEnv[Any, Any, Any]:
    return ShardedAsyncVectorEnv(makers(end), copy=False, autoreset_mode=mode, num_workers=2)


def hybrid(end: str, mode: AutoresetMode) -> VectorEnv[Any, Any, Any]:
    return ShardedAsyncVectorEnv(makers(end), copy=False, autoreset_mode=mode, num_workers=1, main_shard=True)


def in_numpy(end: str, mode: AutoresetMode) -> VectorEnv[Any, Any, Any]:
    return CountingVectorEnv(LENGTHS, end, mode.value)


def on_device(end: str, mode: AutoresetMode) -> DeviceToy:
    return CountingDevice(LENGTHS, end, mode.value)


CASES = [
    pytest.param(make, mode, end, gae_lambda, id=f"{make.__name__}-{mode.value}-{end}-{gae_lambda}")
    for make in (synchronous, sharded, hybrid, in_numpy)
    for mode in (SAME, NEXT, DISABLED)
    for end, gae_lambda in (("terminated", 1.0), ("truncated", 1.0), ("both", 1.0), ("truncated", 0.8))
]
CASES += [
    pytest.param(on_device, mode, end, gae_lambda, id=f"on_device-{mode.value}-{end}-{gae_lambda}")
    for mode in (SAME, NEXT)
    for end, gae_lambda in (("terminated", 1.0), ("truncated", 1.0), ("both", 1.0), ("truncated", 0.8))
]
CASES += [  # one process per environment is slow to start
    pytest.param(asynchronous, mode, end, 1.0, id=f"asynchronous-{mode.value}-{end}")
    for mode, end in ((SAME, "truncated"), (SAME, "terminated"), (NEXT, "truncated"))
]


class Greedy(Categorical):
    """Acts by where the environment is and not by how many rows have gone by, which differs between modes."""

    def sample(self, params: Tensor, noise: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.argmax(params, -1, out=out)


@dataclasses.dataclass
class Learned:
    """What a learner made of one rollout, time-major as it saw it."""

    rollout: Rollout
    returns: Tensor
    advantages: Tensor
    gradient: Tensor

    def of_env(self, rows: Tensor, env: int) -> Tensor:
        """The valid rows of one environment, in order."""
        weight = self.rollout.weight
        return rows[:, env] if weight is None else rows[weight[:, env] > 0, env]


def collector_of(envs: LockstepEnvs | DeviceEnvs, model: Any, cfg: Config) -> AnyCollector:
    return DeviceCollector(envs, model, cfg) if isinstance(envs, DeviceEnvs) else Collector(envs, model, cfg)


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Learned]]]:
    """Collects rollouts and learns from each, the weights staying as they are; keeps what the learner computed."""
    targets: list[dict[str, Any]] = []

    def spy(values: Tensor, returns: Tensor, advantages: Tensor, **named: Any) -> Any:
        targets.append({"returns": returns.clone(), "advantages": advantages.clone()})
        return loss_gradients(values, returns, advantages, **named)

    monkeypatch.setattr(learner_module, "loss_gradients", spy)

    def learn(vector: VectorEnv[Any, Any, Any], cfg: Config, rollouts: int, *, greedy: bool = True) -> list[Learned]:
        on_host = not isinstance(vector, DeviceToy)
        envs = LockstepEnvs(vector) if on_host else DeviceEnvs(vector, torch.device("cpu"))
        try:
            model = make_model(spaces_of(envs.observation_space, envs.action_space), cfg)
            if greedy:
                model.distribution = Greedy(model.spaces.actions)
            learner, collector = Learner(model, cfg), collector_of(envs, model, cfg)
            found = []
            for update in range(rollouts):
                rollout = collector.collect(update)
                learner.update(rollout, 0)
                assert learner.weights.grad is not None
                copy = kept(rollout)
                found.append(Learned(copy, **targets[-1], gradient=learner.weights.grad.clone()))
            return found
        finally:
            envs.close()

    return learn


def settings(n_step: int, **changes: Any) -> Config:
    return config(num_envs=len(LENGTHS), n_step=n_step, lr=0.0, gamma=0.9, seed=3, **changes)


def alone(model: Any, end: str, length: int) -> Iterator[Transition]:
    """One counting environment, stepped the obvious way for ever."""
    env = CountingEnv(length, end)
    obs, _ = env.reset()
    while True:
        action = model.policy(torch.from_numpy(obs[None])).argmax(-1)[0]
        after, reward, terminated, truncated, _ = env.step(np.int64(action))
        successor = torch.from_numpy(after)
        yield Transition(torch.from_numpy(obs), action, reward, terminated, truncated and not terminated, successor)
        obs = env.reset()[0] if terminated or truncated else after


@pytest.mark.parametrize(("make", "mode", "end", "gae_lambda"), CASES)
def test_every_backend_learns_what_one_environment_at_a_time_teaches(
    make: Callable[..., Any], mode: AutoresetMode, end: str, gae_lambda: float, learned: Callable[..., list[Learned]]
) -> None:
    cfg = settings(n_step=6, gae_lambda=gae_lambda)
    model = make_model(spaces_of(CountingEnv().observation_space, CountingEnv().action_space), cfg)
    streams = [alone(model, end, length) for length in LENGTHS]
    actions = set()
    for seen in learned(make(end, mode), cfg, rollouts=4):
        parts = []
        for env, stream in enumerate(streams):
            count = len(seen.of_env(seen.rollout.rewards, env))
            part = list(itertools.islice(stream, count))
            parts.append(part)
            assert seen.of_env(seen.rollout.obs[:-1], env)[:, 0].tolist() == [float(step.obs) for step in part]
            assert seen.of_env(seen.rollout.actions, env).tolist() == [int(step.action) for step in part]
            assert seen.of_env(seen.rollout.rewards, env).tolist() == [step.reward for step in part]
            assert seen.of_env(seen.rollout.terminated, env).tolist() == [step.terminated for step in part]
            assert seen.of_env(seen.rollout.truncated, env).tolist() == [step.truncated for step in part]
            actions.update(int(step.action) for step in part)
        naive = naive_a2c(model, parts, cfg)
        for env in range(len(LENGTHS)):
            assert_close(seen.of_env(seen.returns, env), torch.tensor(naive.returns[env]), rtol=1e-5, atol=1e-5)
            assert_close(seen.of_env(seen.advantages, env), torch.tensor(naive.advantages[env]), rtol=1e-5, atol=1e-5)
        assert relative_error(seen.gradient, naive.gradient) < 1e-5
        assert seen.rollout.transitions == sum(map(len, parts))
    assert actions == {0, 1}


@pytest.mark.parametrize("end", ENDS)
def test_rollouts_with_the_same_transitions_have_the_same_gradient_in_every_mode(
    end: str, learned: Callable[..., list[Learned]]
) -> None:
    # Episodes of 3, 4 and 5 steps: each environment ends once in its first 5 transitions, so that 6 rows of
    # NEXT_STEP, one of them a reset, hold the same transitions as 5 rows of the others.
    (same,) = learned(synchronous(end, SAME), settings(n_step=5), rollouts=1)
    (following,) = learned(synchronous(end, NEXT), settings(n_step=6), rollouts=1)
    (disabled,) = learned(synchronous(end, DISABLED), settings(n_step=5), rollouts=1)
    (device_same,) = learned(on_device(end, SAME), settings(n_step=5), rollouts=1)
    (device_following,) = learned(on_device(end, NEXT), settings(n_step=6), rollouts=1)
    for other in (following, disabled, device_same, device_following):
        assert other.rollout.transitions == same.rollout.transitions == 15
        for env in range(3):
            for name in ("returns", "advantages"):
                assert_close(other.of_env(getattr(other, name), env), getattr(same, name)[:, env])
        assert relative_error(other.gradient, same.gradient) < 1e-6


def test_termination_truncation_and_nothing_are_told_apart(learned: Callable[..., list[Learned]]) -> None:
    found = {end: learned(in_numpy(end, SAME), settings(n_step=5), rollouts=1)[0] for end in ENDS}
    assert relative_error(found["truncated"].gradient, found["terminated"].gradient) > 0.01
    assert torch.equal(found["both"].gradient, found["terminated"].gradient)  # terminated wins


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_vectorizations_agree_to_the_bit(end: str, learned: Callable[..., list[Learned]]) -> None:
    env = {"id": "envs.toys:Counting-v0", "kwargs": {"length": 5, "end": end}}
    cfg = settings(n_step=4, env=env)
    made: dict[str, Any] = {name: planned(dataclasses.replace(cfg, **ours)) for name, ours in OURS.items()}
    made |= {f"numpy {mode.value}": CountingVectorEnv((5, 5, 5), end, mode.value) for mode in (SAME, DISABLED)}
    made["device"] = CountingDevice((5, 5, 5), end)
    runs = {name: learned(envs, cfg, rollouts=4, greedy=False) for name, envs in made.items()}
    expected = runs.pop("sync")
    assert len(torch.cat([seen.rollout.actions for seen in expected]).unique()) == 2
    for name, run in runs.items():
        for seen, first in zip(run, expected, strict=True):
            for field in ("obs", "actions", "rewards", "terminated", "truncated", "final_values"):
                assert torch.equal(getattr(seen.rollout, field), getattr(first.rollout, field)), (name, field)
            assert torch.equal(seen.gradient, first.gradient), name
