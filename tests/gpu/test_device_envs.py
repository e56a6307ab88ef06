"""Environments on a GPU: nothing in a rollout waits, and it holds what the same environments give on the CPU.

Where there is no GPU they run on the CPU.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from a2c.api import load_config
from a2c.build import build, make_envs
from a2c.collecting.device_collector import DeviceCollector
from a2c.envs.device.cartpole import CartPole
from a2c.envs.device.lockstep import DeviceEnvs
from a2c.envs.spaces import spaces_of
from a2c.errors import ConfigError
from a2c.learning.learner import Learner
from a2c.machine.clock import SAMPLE
from a2c.rollout import Rollout
from a2c.trainer import train
from builders import config, kept, make_model
from device_toys import WildDevice
from gpu.test_cuda import graphs_on, no_waiting

DEVICE = torch.device(os.environ.get("A2C_GPU_TEST_DEVICE", "cuda" if torch.cuda.is_available() else "cpu"))
ON_CUDA = DEVICE.type == "cuda"

N, T = 64, 8


def collecting(
    vector: Any, device: torch.device, *, plain: bool = False, **changes: Any
) -> tuple[Learner, DeviceCollector]:
    """Learner and collector; with graphs on a GPU, unless they are to run kernel by kernel."""
    cfg = config(num_envs=N, n_step=T, normalize_advantage=True, **changes)
    envs = DeviceEnvs(vector, device)
    model = make_model(spaces_of(envs.observation_space, envs.action_space), cfg, spread=0.01).to(device)
    graphs = None if plain else graphs_on(device)
    told: list[str] = []
    collector = DeviceCollector(envs, model, cfg, graphs=graphs, notify=told.append)
    assert bool(told) == (graphs is not None and not isinstance(vector, CartPole))
    return Learner(model, cfg, graphs=graphs), collector


@pytest.mark.parametrize("changes", [{}, {"normalize_reward": True, "normalize_obs": True}])
def test_nothing_in_a_rollout_or_an_update_waits_for_the_device(changes: dict[str, Any]) -> None:
    learner, collector = collecting(CartPole(N, 20, DEVICE), DEVICE, **changes)
    for update in range(2):  # kernels are loaded; the clock waits in the second one, to measure
        learner.update(collector.collect(update), 0)
    with no_waiting():
        for update in range(2, SAMPLE):
            learner.update(collector.collect(update), 0)
    metrics = collector.metrics()
    assert metrics["rollout/episodes"] > N
    assert 5 < metrics["rollout/ep_len_mean"] <= 20
    assert learner.weights.isfinite().all()


@pytest.mark.parametrize("changes", [{}, {"normalize_reward": True, "normalize_obs": True}])
def test_captured_rollouts_train_as_the_plain_kernels(changes: dict[str, Any]) -> None:
    """40 updates with episodes that fall and episodes that are cut."""
    rows = []
    for plain in (False, True):
        learner, collector = collecting(CartPole(N, 20, DEVICE), DEVICE, plain=plain, lr=1e-4, **changes)
        found = []
        for update in range(40):
            learner.update(collector.collect(update), 0)
            if update % 10 == 9:
                found.append(learner.drain_metrics(0) | collector.metrics())
        rows.append(found)
    for captured, expected in zip(*rows, strict=True):
        assert captured == pytest.approx(expected, rel=2e-2, abs=1e-2)


def test_cartpole_is_the_same_on_every_device() -> None:
    """Actions, rewards and flags exactly, the rest to rounding: 24 steps are too few for it to grow."""
    runs = []
    for device in (torch.device("cpu"), DEVICE):
        _, collector = collecting(CartPole(N, 10, device), device)
        runs.append(([kept(collector.collect(update)) for update in range(3)], collector.metrics()))
    (here, metrics), (there, device_metrics) = runs
    for expected, found in zip(here, there, strict=True):
        for field in dataclasses.fields(Rollout):
            one, other = getattr(expected, field.name), getattr(found, field.name)
            if isinstance(one, torch.Tensor):
                assert other.device.type == DEVICE.type
                assert_close(other.cpu(), one, rtol=1e-3, atol=1e-3)
    assert sum(int(rollout.truncated.sum()) for rollout in there) > 10
    assert device_metrics == pytest.approx(metrics, rel=1e-4)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_both_ways_to_reset_are_the_same_on_every_device(mode: str) -> None:
    rows = []
    for device in (torch.device("cpu"), DEVICE):
        learner, collector = collecting(WildDevice(N, mode, str(device)), device, normalize_reward=True)
        found = []
        for update in range(4):
            rollout = collector.collect(update)
            learner.update(rollout, 0)
            found.append(learner.drain_metrics(0) | collector.metrics() | {"transitions": rollout.transitions})
        rows.append(found)
    for expected, other in zip(*rows, strict=True):
        assert other == pytest.approx(expected, rel=1e-2, abs=1e-3)


@pytest.mark.skipif(not ON_CUDA, reason="takes two devices")
def test_arrays_on_another_device_are_told() -> None:
    with pytest.raises(ConfigError, match=r"gave observations on cpu; it must be on cuda:0, where the learner is"):
        DeviceEnvs(CartPole(N), DEVICE).reset(0)


def test_jax_and_torch_share_the_device(notices: list[str]) -> None:
    jax = pytest.importorskip("jax")
    pytest.importorskip("flax")
    if ON_CUDA and jax.default_backend() != "gpu":
        pytest.skip("this jax sees no GPU")
    cfg = load_config("env.id=phys2d/CartPole-v1", "vectorization=device", f"device={DEVICE}", f"num_envs={N}")
    with make_envs(cfg) as envs:
        learner, collector = build(cfg, envs, notify=notices.append)
        assert len(notices) == ON_CUDA  # JAX's environments cannot be captured
        notices.clear()
        for update in range(10):
            learner.update(collector.collect(update), 0)
        assert collector.metrics()["rollout/episodes"] > 0
    assert learner.weights.isfinite().all()


def test_a_whole_run_trains_evaluates_and_saves(tmp_path: Path) -> None:
    cfg = load_config(
        "env=cartpole_device",
        f"device={DEVICE}",
        "num_envs=256",
        "total_steps=20480",
        "eval.final_episodes=2",
        "wandb.mode=disabled",
        "gif=false",
        f"runs_dir={tmp_path}",
    )
    summary = train(cfg, tmp_path / "run")
    assert summary.env_steps == 20480
    assert summary.eval_mean is not None
    assert summary.episodes > 256
