"""A whole rollout on the device can be a CUDA graph, and nothing that it touches ever moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import VectorWrapper
from torch import Tensor

from a2c.collecting.device_collector import DeviceCollector
from a2c.collecting.final_values import value_all_rows, value_truncated_rows
from a2c.envs.device.capturable import capturable
from a2c.envs.device.cartpole import CartPole
from a2c.envs.device.lockstep import DeviceEnvs
from a2c.envs.spaces import spaces_of
from a2c.learning.learner import Learner
from a2c.machine.graphs import Graphs
from builders import VECTOR, config, make_model
from capturing import FakeCuda, KernelByKernel, Operations, tensors_of, visible
from device_toys import WildDevice

CPU = torch.device("cpu")
T, N = 6, 16
NORMALISED = {"normalize_obs": True, "normalize_reward": True, "env": {"clip_reward": True}}
REMEMBERING = {"network": {"memory": "lstm", "memory_size": 8}}


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    visible(monkeypatch)
    return FakeCuda(monkeypatch)


def trainer(
    vector: Any, graphs: Graphs | None, *, told: list[str] | None = None, **changes: Any
) -> tuple[Learner, DeviceCollector]:
    cfg = config(num_envs=vector.num_envs, n_step=T, gae_lambda=0.9, optimizer="adam", lr=3e-3, **changes)
    envs = DeviceEnvs(vector, CPU)
    model = make_model(spaces_of(envs.observation_space, envs.action_space), cfg, spread=0.05)
    learner = Learner(model, cfg, graphs=graphs)
    notify = pytest.fail if told is None else told.append
    collector = DeviceCollector(envs, model, cfg, graphs=graphs, notify=notify)
    collector._value_finals = value_all_rows  # as on a GPU
    return learner, collector


def trained(graphs: Graphs | None, updates: int, **changes: Any) -> tuple[Tensor, list[dict[str, float]]]:
    learner, collector = trainer(CartPole(N, max_episode_steps=23), graphs, **changes)
    rows = []
    for update in range(updates):
        learner.update(collector.collect(update), update)
        if update % 20 == 19:
            rows.append(learner.drain_metrics(update) | collector.metrics())
    return learner.weights.detach(), rows


@pytest.mark.parametrize("changes", [{}, NORMALISED, REMEMBERING], ids=["raw", "normalised", "remembering"])
def test_captured_rollouts_and_updates_train_as_the_plain_ones(cuda: FakeCuda, changes: dict[str, Any]) -> None:
    """200 updates with episodes that fall and episodes that are cut, bit for bit."""
    weights, rows = trained(Graphs(pytest.fail), 200, **changes)
    assert len(cuda.captures) == 2  # one for the rollout, one for the update
    assert cuda.replays == 2 * 200
    same_weights, same_rows = trained(KernelByKernel(), 200, **changes)
    assert torch.equal(weights, same_weights)
    assert rows == same_rows
    assert rows[-1]["rollout/episodes"] > 200
    # cut, or at least many of them: the larger network learns more slowly
    assert max(row["rollout/ep_len_mean"] for row in rows) > (18 if "network" in changes else 22)
    assert min(row["rollout/ep_len_mean"] for row in rows) < 20  # fallen


def test_a_graph_that_does_nothing_is_refused_and_training_goes_on_as_without(cuda: FakeCuda) -> None:
    """As on the wrong device, where the work runs during the capture and the graph stays empty."""
    cuda.graph.eager = True
    told: list[str] = []
    weights, rows = trained(Graphs(told.append), 20)
    same_weights, same_rows = trained(KernelByKernel(), 20)
    assert torch.equal(weights, same_weights)
    assert rows == same_rows
    assert len(told) == 1
    assert told[0].startswith("no CUDA graph for rollouts: ")


@pytest.mark.parametrize("changes", [{}, NORMALISED, REMEMBERING], ids=["raw", "normalised", "remembering"])
def test_nothing_that_a_rollout_or_an_update_uses_moves(changes: dict[str, Any]) -> None:
    learner, collector = trainer(CartPole(N, max_episode_steps=7), None, **changes)

    def places() -> dict[str, int]:
        reached = tensors_of(collector, "collector") | tensors_of(learner, "learner")
        return {path: tensor.data_ptr() for path, tensor in reached.items()}

    for update in range(2):
        learner.update(collector.collect(update), 0)
    before = places()
    assert any("envs.envs._starts" in path for path in before)
    assert any("_statistics.running" in path for path in before)
    for update in range(2, 9):
        learner.update(collector.collect(update), 0)
    moved = {path for path, place in places().items() if before.get(path) != place}
    # Numbers drawn ahead, which are copied from; and what the last forward pass left for the backward pass.
    assert {path.rsplit(".", 1)[-1] for path in moved} <= {"_drawn", "_ahead", "_inputs"}


@pytest.mark.parametrize("changes", [{}, NORMALISED], ids=["raw", "normalised"])
def test_a_rollout_waits_for_nothing_and_launches_few_kernels(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    visible(monkeypatch)
    _, collector = trainer(CartPole(N), None, **changes)
    collector.collect(0)
    with Operations() as seen:
        collector.collect(1)
    assert seen.waits == []
    assert seen.launched <= 1.1 * (38 * T + 40 + 80 * bool(changes)), seen.counts


@pytest.mark.parametrize("changes", [{}, NORMALISED], ids=["raw", "normalised"])
def test_a_rollout_needs_no_number_on_the_host(changes: dict[str, Any]) -> None:
    cfg = config(num_envs=N, n_step=T, **changes)
    meta = torch.device("meta")
    envs = DeviceEnvs(CartPole(N, device=meta), meta)
    model = make_model(spaces_of(envs.observation_space, envs.action_space), cfg).to(meta)
    learner = Learner(model, cfg)
    collector = DeviceCollector(envs, model, cfg)
    for update in range(3):
        learner.update(collector.collect(update), 0)
    with pytest.raises((RuntimeError, NotImplementedError)):
        collector.metrics()  # the one that asks


def test_both_ways_to_value_final_observations_agree() -> None:
    model = make_model(VECTOR, config())
    finals, values = torch.randn(T, N, 4), torch.full((2, T, N), 7.0)
    truncated = torch.rand(T, N) < 0.3
    with torch.inference_mode():
        value_all_rows(model, finals, truncated, values[0])
        value_truncated_rows(model, finals, truncated, values[1])
    torch.testing.assert_close(values[0], values[1])
    assert torch.equal(values[0] != 0, truncated)


def test_environments_that_cannot_be_captured_are_stepped_kernel_by_kernel_and_that_is_told(cuda: FakeCuda) -> None:
    for mode in ("SameStep", "NextStep"):
        told: list[str] = []
        learner, collector = trainer(WildDevice(N, mode), Graphs(pytest.fail), told=told)
        for update in range(3):
            learner.update(collector.collect(update), 0)
        assert told == ["no CUDA graph for rollouts: the environments do not offer it, or reset in the next step"]


class Shaken(VectorWrapper[Any, Any, Any, Any]):
    """Does in Python what a graph would leave out."""


def test_neither_a_wrapper_nor_a_subclass_of_a_capturable_environment_is_capturable() -> None:
    class Curriculum(CartPole):
        """As does this."""

    envs = CartPole(2)
    assert capturable(envs)
    assert not capturable(Shaken(envs))
    assert not capturable(Curriculum(2))


def test_starts_are_the_same_however_they_are_drawn() -> None:
    """By the collector for each rollout, or by the environment itself; N too large to draw many steps at once."""
    pushes = torch.randint(0, 2, (24, N), generator=torch.Generator().manual_seed(3))
    runs = []
    for rollout in (0, 1, 6, 8):
        envs = CartPole(N, max_episode_steps=5)
        seen = [envs.reset(seed=4)[0].clone()]
        for step, push in enumerate(pushes):
            if rollout and step % rollout == 0:
                envs.draw(rollout)
            seen.append(envs.step(push)[0].clone())
        runs.append(torch.stack(seen))
    assert all(torch.equal(run, runs[0]) for run in runs)
    assert len(np.unique(runs[0][5::5].numpy())) > 4 * 4 * N - 10  # every episode starts elsewhere
