"""Environments that give the newest frame alone: every byte of a rollout is as if they gave whole stacks."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import SyncVectorEnv, VectorEnv
from torch import Tensor

import a2c.build as build_module
from a2c.api import load_config
from a2c.build import build, make_envs
from a2c.collecting import group as group_module
from a2c.collecting.collector import Collector
from a2c.collecting.frame_stacks import DeviceStacks, HostStacks, continued, stacks_of
from a2c.envs.frames import Frames
from a2c.envs.groups import EnvGroups
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.vector.inprocess import InProcessVectorEnv
from a2c.envs.vector.one_process_each import OneProcessEach
from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
from a2c.rollout import Rollout
from builders import config, kept, make_model
from envs.films import film

COUNT, N, T, UPDATES = 3, 5, 4, 12
VECTOR_ENVS: dict[str, Callable[..., VectorEnv[Any, Any, Any]]] = {
    "sync": partial(InProcessVectorEnv, copy=False, autoreset_mode="SameStep"),
    "workers": partial(ShardedAsyncVectorEnv, copy=False, autoreset_mode="SameStep", num_workers=2),
    "async": OneProcessEach,
    "next step": partial(SyncVectorEnv, copy=False, autoreset_mode="NextStep"),
    "disabled": partial(SyncVectorEnv, copy=False, autoreset_mode="Disabled"),
}


@pytest.fixture
def device_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collectors believe that the CPU is a device with memory of its own."""
    monkeypatch.setattr(group_module, "on_host", lambda device: False)


def rollouts(
    stacked: bool, vector_env: str, sizes: Sequence[int] = (N,), repeated: bool = True
) -> tuple[list[Rollout], list[Any]]:
    """What a collector gives, and the episodes, with environments that stack frames or with the collector doing so."""
    make = partial(film, COUNT if stacked else 1, repeated)
    frames = None if stacked else Frames(COUNT, repeated)
    vector = [VECTOR_ENVS[vector_env]([make] * size) for size in sizes]
    envs = EnvGroups([LockstepEnvs(one, life_loss=True, frames=frames) for one in vector])
    try:
        assert envs.spaces.obs_shape == (COUNT, 36, 36)
        cfg = config(num_envs=sum(sizes), n_step=T)
        collector = Collector(envs.groups, make_model(envs.spaces, cfg), cfg)
        found = [kept(collector.collect(update)) for update in range(UPDATES)]
        return found, sorted(dataclasses.astuple(episode) for episode in collector.episodes)
    finally:
        envs.close()


def assert_same(found: tuple[list[Rollout], list[Any]], expected: tuple[list[Rollout], list[Any]]) -> None:
    assert found[1:] == expected[1:]
    for one, other in zip(found[0], expected[0], strict=True):
        for field in dataclasses.fields(Rollout):
            value, wanted = getattr(one, field.name), getattr(other, field.name)
            same = torch.equal(value, wanted) if isinstance(wanted, Tensor) else value == wanted
            assert same, field.name


@pytest.mark.parametrize("sizes", [(N,), (2, 3)], ids=["one group", "two groups"])
@pytest.mark.parametrize("vector_env", VECTOR_ENVS)
def test_a_rollout_is_the_same_byte_for_byte(vector_env: str, sizes: Sequence[int]) -> None:
    expected = rollouts(True, vector_env, sizes)
    assert_same(rollouts(False, vector_env, sizes), expected)
    together = {name: torch.stack([getattr(one, name) for one in expected[0]]) for name in ("terminated", "truncated")}
    assert all(flags.sum() > 10 for flags in together.values())
    assert all(bool((one.final_values != 0).eq(one.truncated).all()) for one in expected[0])
    ended = sum(1 for _ in expected[1])
    assert ended < int(together["terminated"].sum() + together["truncated"].sum())  # lives were lost on the way


@pytest.mark.usefixtures("device_apart")
@pytest.mark.parametrize("repeated", [True, False], ids=["repeated", "zeros"])
@pytest.mark.parametrize("sizes", [(N,), (2, 3)], ids=["one group", "two groups"])
def test_a_device_builds_the_same_stacks(sizes: Sequence[int], repeated: bool) -> None:
    assert_same(rollouts(False, "sync", sizes, repeated), rollouts(True, "sync", sizes, repeated))


def test_an_episode_may_also_begin_after_zeros() -> None:
    expected = rollouts(True, "sync", repeated=False)
    assert any((stack[:-1] == 0).all() for one in expected[0] for stack in one.obs.flatten(0, 1))
    assert_same(rollouts(False, "sync", repeated=False), expected)


@pytest.mark.usefixtures("device_apart")
def test_a_device_that_copies_whole_observations_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain way of a device, on which the other tests of this file lean."""
    found = rollouts(True, "sync")
    monkeypatch.undo()
    assert_same(found, rollouts(True, "sync"))


def stacks_made(on_host: bool, frames: Frames) -> Tensor:
    """Stacks ``[T+1, n, k, 2, 2]`` of a few steps with every pattern of beginnings; each is fetched three times."""
    n, steps = 2, 6
    memory = torch.full((steps + 1, n, frames.count, 2, 2), 255, dtype=torch.uint8)
    source = torch.empty(n, 1, 2, 2, dtype=torch.uint8)
    made: Any = stacks_of(frames, memory, slice(0, n), None if on_host else source, source.numpy())
    assert isinstance(made, HostStacks if on_host else DeviceStacks)
    memory[0] = 7
    for t, began in enumerate(itertools.islice(itertools.cycle([(0, 0), (0, 1), (1, 0)]), steps), start=1):
        newest = np.full((n, 1, 2, 2), 10 * t, np.uint8) + np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1)
        made.put(t, newest, np.array(began, np.bool_))
        for _ in range(3):  # as a graph that is tried out before it is captured
            made.fetch(t)
    return memory


@pytest.mark.parametrize("on_host", [True, False])
def test_a_stack_loses_its_oldest_frame_and_starts_anew_with_an_episode(on_host: bool) -> None:
    #       began  stack of environment 0        began  of environment 1
    #  t=1  no     7 7 10                        no     7 7 11
    #  t=2  no     7 10 20                       yes    21 21 21 or 0 0 21
    #  t=3  yes    30 30 30 or 0 0 30            no     21 21 31 or 0 21 31
    repeated, zeros = (stacks_made(on_host, Frames(3, repeated))[:, :, :, 0, 0] for repeated in (True, False))
    assert repeated[1:4, 0].tolist() == [[7, 7, 10], [7, 10, 20], [30, 30, 30]]
    assert repeated[1:4, 1].tolist() == [[7, 7, 11], [21, 21, 21], [21, 21, 31]]
    assert zeros[1:4, 0].tolist() == [[7, 7, 10], [7, 10, 20], [0, 0, 30]]
    assert zeros[1:4, 1].tolist() == [[7, 7, 11], [0, 0, 21], [0, 21, 31]]


def test_a_device_stacks_without_telling_the_host_a_number() -> None:
    """Nothing on meta has a value: whatever waits for one raises."""
    memory = torch.empty(3, 2, 4, 2, 2, dtype=torch.uint8, device="meta")
    made = DeviceStacks(memory, Frames(4, repeated=True), torch.zeros(2, 1, 2, 2, dtype=torch.uint8), None)
    made.put(1, np.zeros((2, 1, 2, 2), np.uint8), np.array([True, False]))
    made.fetch(1)


def test_a_final_stack_follows_the_one_before_it() -> None:
    stacks, newest = torch.tensor([[1, 2, 3], [4, 5, 6]])[..., None, None], torch.tensor([[9], [8]])[..., None, None]
    assert continued(stacks, newest)[..., 0, 0].tolist() == [[2, 3, 9], [5, 6, 8]]


GAMES = {
    "cut often": ("env.id=ALE/Pong-v5", "env.max_episode_steps=7", "n_step=3"),
    "lives": ("env.id=ALE/Breakout-v5", "env.atari.life_loss=true", "n_step=30"),
}


def learned(*overrides: str) -> tuple[list[Rollout], list[Any], Tensor]:
    """Rollouts, episodes and the weights after some updates of a real training."""
    cfg = load_config("device=cpu", "wandb.mode=disabled", "gif=false", "num_envs=4", "threads=1", *overrides)
    with make_envs(cfg) as envs:
        learner, collector = build(cfg, envs)
        found = []
        for update in range(10):
            rollout = collector.collect(update)
            found.append(kept(rollout))
            learner.update(rollout, 0)
        episodes = sorted(dataclasses.astuple(episode) for episode in collector.episodes)
    return found, episodes, learner.weights.detach().clone()


@pytest.mark.long
@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize(
    "stepping",
    [
        ("vectorization=sync",),
        ("vectorization=workers", "env_groups=2"),
        ("vectorization=native", "num_workers=1"),
        ("vectorization=native", "num_workers=1", "env_groups=2"),
    ],
    ids=" ".join,
)
def test_atari_learns_the_same_from_the_newest_frames_alone(
    game: str, stepping: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    found = learned(*GAMES[game], *stepping)
    monkeypatch.setattr(group_module, "on_host", lambda device: False)
    on_device = learned(*GAMES[game], *stepping)
    monkeypatch.undo()
    monkeypatch.setattr(build_module, "newest_frames", lambda env, plan: (env, None))
    expected = learned(*GAMES[game], *stepping)
    for one in (found, on_device):
        assert_same(one[:2], expected[:2])
        assert torch.equal(one[2], expected[2])
    flags = "truncated" if game == "cut often" else "terminated"
    assert any(bool(getattr(rollout, flags).any()) for rollout in expected[0])
    assert len(expected[1]) > 0  # games ended, not lives alone


def test_training_moves_one_frame_of_four() -> None:
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    cfg = load_config("env.id=ALE/Pong-v5", "device=cpu", "num_envs=2", "vectorization=sync", "wandb.mode=disabled")
    with make_envs(cfg) as envs:
        assert envs.spaces.obs_shape == (4, 84, 84)  # of the network and of checkpoints
        (group,) = envs.envs.groups
        assert group.reset([1, 2]).shape == (2, 1, 84, 84)
