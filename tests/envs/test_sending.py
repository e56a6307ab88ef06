"""ale-py's vector environment steps between send and receive: groups overlap, and nothing else changes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import VectorWrapper

from a2c.api import load_config
from a2c.build import build, make_envs
from a2c.envs.lockstep import LockstepEnvs
from a2c.errors import EnvironmentFailure
from a2c.settings.config import Config
from builders import kept
from envs.toys import CountingVectorEnv


class Sending(CountingVectorEnv):
    """Sends and receives as ale-py's does, where nothing keeps an order."""

    sends = True
    fault = ""

    def send(self, actions: Any) -> None:
        assert self.fault != "send", "actions have another shape"
        self.actions = actions

    def recv(self) -> Any:
        if self.fault == "recv":
            raise RuntimeError("the emulator stopped")
        return super().step(self.actions)

    def step(self, actions: Any) -> Any:
        raise AssertionError("nobody calls this")


class Doubling(Sending):
    """A subclass whose step gives something else."""

    def step(self, actions: Any) -> Any:
        obs, rewards, *rest = CountingVectorEnv.step(self, actions)
        return obs, 2 * rewards, *rest


class DoublingWrapper(VectorWrapper):
    def step(self, actions: Any) -> Any:
        self.env.send(actions)
        obs, rewards, *rest = self.env.recv()
        return obs, 2 * rewards, *rest


def ready(envs: Any) -> LockstepEnvs:
    steps = LockstepEnvs(envs)
    steps.reset([0, 0])
    return steps


ACTIONS = np.zeros(2, np.int64)


def test_a_step_is_sent_and_then_received() -> None:
    envs = ready(Sending([2, 3]))
    assert [envs.step(ACTIONS).obs[:, 0].tolist() for _ in range(4)] == [[1, 1], [0, 2], [1, 0], [0, 1]]


@pytest.mark.parametrize("make", [Doubling, lambda lengths: DoublingWrapper(Sending(lengths))])
def test_a_step_of_their_own_is_not_bypassed_in_subclasses_and_wrappers(make: Any) -> None:
    assert ready(make([2, 3])).step(ACTIONS).rewards.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("send", "raised AssertionError in step 2: actions have another shape"),
        ("recv", "raised RuntimeError in step 2: the emulator stopped"),
    ],
)
def test_a_failure_is_reported_with_its_step(fault: str, text: str) -> None:
    vector = Sending([9, 9])
    envs = ready(vector)
    envs.step(ACTIONS)
    vector.fault = fault
    with pytest.raises(EnvironmentFailure, match=text):
        envs.step(ACTIONS)
    with pytest.raises(EnvironmentFailure, match="failed before"):
        envs.step(ACTIONS)


@pytest.mark.parametrize(
    ("sent", "call", "text"),
    [
        (True, lambda envs: envs.reset([0, 0]), "reset: a step is under way"),
        (True, lambda envs: envs.send(ACTIONS), "step: a step is under way"),
        (False, lambda envs: envs.receive(), "wait: no step is under way"),
    ],
)
def test_what_is_out_of_turn_is_refused(sent: bool, call: Any, text: str) -> None:
    """In ale-py it would give the result of another call, or never return."""
    envs = ready(Sending([9, 9]))
    if sent:
        envs.send(ACTIONS)
    with pytest.raises(EnvironmentFailure, match=text):
        call(envs)


def native(**changes: Any) -> Config:
    pytest.importorskip("ale_py")
    cfg = load_config(
        "env.id=ALE/Breakout-v5",
        "env.max_episode_steps=9",
        "env.atari.life_loss=true",
        "vectorization=native",
        "num_workers=1",
        "num_envs=4",
        "n_step=5",
        "device=cpu",
        "wandb.mode=disabled",
        "gif=false",
    )
    return dataclasses.replace(cfg, **changes)


def test_the_second_group_of_games_is_sent_off_before_the_first_one_is_received(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cfg = native(env_groups=2, n_step=2)
    from a2c.envs.vector.atari_native import NativeAtari

    order: list[tuple[str, int]] = []
    with make_envs(cfg) as envs:
        groups = [group.envs for group in envs.envs.groups]
        for name in ("send", "recv"):
            inner = getattr(NativeAtari, name)

            def spy(self: Any, *args: Any, name: str = name, inner: Any = inner) -> Any:
                order.append((name, groups.index(self)))
                return inner(self, *args)

            monkeypatch.setattr(NativeAtari, name, spy)
        _, collector = build(cfg, envs)
        collector.collect(0)
    begin, between = [("send", 0), ("send", 1)], [("recv", 0), ("send", 0), ("recv", 1), ("send", 1)]
    assert order == [*begin, *between, ("recv", 0), ("recv", 1)]


def played(cfg: Config) -> list[Any]:
    """Rollouts without learning, so that the policy is the same to the bit, and the episodes."""
    with make_envs(cfg) as envs:
        _, collector = build(cfg, envs)
        rollouts = [kept(collector.collect(update)) for update in range(10)]
        episodes = [dataclasses.astuple(episode) for episode in collector.episodes]
    return [rollouts, sorted(episode[1:] for episode in episodes)]


def test_games_take_the_same_way_in_groups_and_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = played(native()), played(native(env_groups=2))
    from a2c.envs.vector.atari_native import NativeAtari

    monkeypatch.setattr(NativeAtari, "sends", False)  # by step alone
    called = played(native())
    for found in (two, called):
        assert found[1] == one[1] != []
        for rollout, expected in zip(found[0], one[0], strict=True):
            for name in ("obs", "actions", "rewards", "terminated", "truncated"):
                assert torch.equal(getattr(rollout, name), getattr(expected, name)), name


@pytest.mark.parametrize("received", [True, False])
def test_games_close_while_a_step_is_under_way(received: bool) -> None:
    with make_envs(native()) as envs:
        (group,) = envs.envs.groups
        group.reset([1, 2, 3, 4])
        group.send(np.zeros(4, np.int64))
        if received:
            group.receive()
