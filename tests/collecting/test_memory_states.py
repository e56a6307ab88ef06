"""What the network remembers while acting: nothing across episodes, everything within one, however they are stepped.

The environment counts, so that all that an episode is about to remember after k steps is known: it has seen 0 .. k-1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from torch import Tensor
from torch.testing import assert_close

from a2c.build import build, make_envs
from a2c.collecting.collector import Collector
from a2c.collecting.device_collector import AnyCollector, DeviceCollector
from a2c.envs.device.lockstep import DeviceEnvs
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.spaces import spaces_of
from a2c.envs.vector.inprocess import InProcessVectorEnv
from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
from a2c.network.memory import cleared, unrolled
from a2c.settings.config import Config
from builders import config, kept, make_model
from device_toys import CountingDevice, DeviceToy
from envs.toys import CountingEnv, CountingVectorEnv
from registrations import forget

LENGTHS = (3, 4, 5)
SAME, NEXT, DISABLED = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED


def makers(end: str) -> list[Callable[[], CountingEnv]]:
    return [partial(CountingEnv, length, end) for length in LENGTHS]


def in_process(end: str, mode: AutoresetMode) -> VectorEnv[Any, Any, Any]:
    return InProcessVectorEnv(makers(end), autoreset_mode=mode)


def gymnasiums(end: str, mode: AutoresetMode) -> VectorEnv[Any, Any, Any]:
    return SyncVectorEnv(makers(end), autoreset_mode=mode)


def sharded(end: str, mode: AutoresetMode) -> VectorEnv[Any, Any, Any]:
    return ShardedAsyncVectorEnv(makers(end), copy=False, autoreset_mode=mode, num_workers=2)


def in_numpy(end: str, mode: AutoresetMode) -> VectorEnv[Any, Any, Any]:
    return CountingVectorEnv(LENGTHS, end, mode.value)


def on_device(end: str, mode: AutoresetMode) -> DeviceToy:
    return CountingDevice(LENGTHS, end, mode.value)


CASES = [
    *((in_process, SAME), (sharded, SAME), (gymnasiums, SAME), (gymnasiums, NEXT), (gymnasiums, DISABLED)),
    *((in_numpy, NEXT), (in_numpy, DISABLED), (on_device, SAME), (on_device, NEXT)),
]


def settings(kind: str = "lstm", **changes: Any) -> Config:
    small = {"memory": kind, "memory_size": 4, "hidden_sizes": [6]}
    return config(num_envs=len(LENGTHS), n_step=7, network=small, **changes)


def collector_of(vector: Any, cfg: Config) -> tuple[Any, AnyCollector, Any]:
    envs: Any = DeviceEnvs(vector, torch.device("cpu")) if isinstance(vector, DeviceToy) else LockstepEnvs(vector)
    model = make_model(spaces_of(envs.observation_space, envs.action_space), cfg)
    kind = DeviceCollector if isinstance(vector, DeviceToy) else Collector
    return envs, kind(envs, model, cfg), model


def remembered(model: Any) -> Tensor:
    """``[6, S]``: what is remembered after each number of steps of an episode."""
    states = [model.initial_memory(1)]
    with torch.no_grad():
        for count in range(max(LENGTHS)):
            states.append(model.policy(torch.tensor([[float(count)]]), states[-1])[1])
    return torch.cat(states)


@pytest.mark.parametrize(("make", "mode"), CASES, ids=lambda it: getattr(it, "__name__", getattr(it, "value", it)))
@pytest.mark.parametrize("end", ["terminated", "truncated"])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_an_episode_remembers_its_own_steps_and_no_others(make: Any, mode: Any, end: str, kind: str) -> None:
    """At every step of five rollouts, which go on from one another; and where a time limit cuts, before the reset."""
    cfg = settings(kind)
    envs, collector, model = collector_of(make(end, mode), cfg)
    after = remembered(model)
    before, cuts = torch.zeros(len(LENGTHS), after.shape[1]), 0
    try:
        for update in range(5):
            rollout = collector.collect(update)
            assert isinstance(rollout.obs, Tensor)
            assert rollout.memory is not None
            assert rollout.began is not None
            count = rollout.obs[..., 0].long()
            assert_close(cleared(rollout.memory, rollout.began), after[count])
            if update:
                assert torch.equal(rollout.memory[0], before)
            before = rollout.memory[-1].clone()
            for t, env in rollout.truncated.nonzero().tolist():
                length = LENGTHS[env]
                with torch.no_grad():
                    value = model.value(torch.tensor([[float(length)]]), after[length : length + 1])
                assert_close(rollout.final_values[t, env], value[0])
                cuts += 1
            acted = unrolled(
                model.memory,
                model.features(rollout.obs[:-1].flatten(0, 1)).view(7, 3, -1),
                rollout.memory[0],
                rollout.began[:-1],
            )
            assert_close(acted.detach(), rollout.memory[1:])  # as learning has it
    finally:
        envs.close()
    assert cuts == 0 if end == "terminated" else cuts > 10


def test_the_value_of_a_cut_episode_is_not_that_of_one_that_begins() -> None:
    """Else the test before would hold for a memory that was cleared too early."""
    cfg = settings()
    envs, _, model = collector_of(in_process("truncated", SAME), cfg)
    envs.close()
    final, state = torch.tensor([[3.0]]), remembered(model)[3:4]
    assert not torch.isclose(model.value(final, state), model.value(final, torch.zeros_like(state)))


def test_as_on_another_device_where_flags_arrive_with_the_observations(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg, found = settings(), []
    for on_host in (True, False):
        monkeypatch.setattr("a2c.collecting.group.on_host", lambda device, here=on_host: here)
        monkeypatch.setattr("a2c.collecting.memory_states.on_host", lambda device, here=on_host: here)
        envs, collector, _ = collector_of(in_process("truncated", SAME), cfg)
        found.append([kept(collector.collect(update)) for update in range(4)])
        envs.close()
    for one, other in zip(*found, strict=True):
        for name in ("memory", "began", "actions", "final_values"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


@pytest.fixture
def flaky(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "todo").mkdir()
    yield tmp_path / "todo"
    forget(["Flaky-v0"], ["flaky"])


def test_an_environment_that_lost_its_episode_begins_without_a_memory(flaky: Path) -> None:
    kwargs = {"todo": str(flaky), "drawn": True}  # unseeded noise: its episodes cannot be played again
    cfg = settings(env={"id": "flaky:Flaky-v0", "kwargs": kwargs}, vectorization="sync", threads=1)
    told: list[str] = []
    with make_envs(cfg) as envs:
        learner, collector = build(cfg, envs, notify=told.append)
        collector.collect(0)
        (flaky / "0").touch()  # one fails when its episode is 8 steps old
        rollout = next(one for one in map(collector.collect, range(1, 9)) if one.weight is not None)
    assert any("another episode begins" in line for line in told)
    assert rollout.began is not None
    assert rollout.memory is not None
    assert rollout.weight is not None
    lost = (rollout.weight == 0).all(0).nonzero().flatten().tolist()
    assert lost
    obs: Any = rollout.obs
    model: Any = learner.model
    for env in lost:
        (at,) = rollout.began[:, env].nonzero().flatten().tolist()  # after eight steps: nothing else ends
        assert 0 < at < cfg.n_step
        with torch.no_grad():
            _, fresh = model.policy(obs[at, env : env + 1], model.initial_memory(1))
        assert_close(rollout.memory[at + 1, env], fresh[0])
