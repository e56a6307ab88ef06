"""On a GPU: the same noise, the same losses, and no hidden wait inside an update.

Where there is no GPU they run on the CPU, to see that they are sound; what only CUDA can show is left out then.
A2C_GPU_TEST_DEVICE names another device.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from a2c.api import load_config
from a2c.build import build, make_envs
from a2c.collecting.collector import Collector
from a2c.envs.groups import EnvGroups
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.single.wrappers import KeepFinalObservation
from a2c.envs.spaces import Spaces, spaces_of
from a2c.learning.learner import Learner
from a2c.machine.graphs import Graphs
from a2c.maths.noise import philox, uniform_noise
from a2c.network.actor_critic import ActorCritic
from a2c.network.heads import distribution_of
from a2c.playing.evaluation import evaluate
from a2c.playing.loading import load_policy
from a2c.rollout import Rollout
from a2c.settings.config import Config
from a2c.trainer import train
from builders import IMAGE, TORQUE, VECTOR, config, make_model, random_rollout, relative_error

DEVICE = torch.device(os.environ.get("A2C_GPU_TEST_DEVICE", "cuda" if torch.cuda.is_available() else "cpu"))
ON_CUDA = DEVICE.type == "cuda"

needs_cuda = pytest.mark.skipif(not ON_CUDA, reason="says something about CUDA only")


class PictureEnv(gym.Env[Any, Any]):
    """A 36-pixel picture with a bright column; reward for naming its third. Truncated after ``length`` steps."""

    def __init__(self, length: int = 5) -> None:
        self.observation_space = Box(0, 255, IMAGE.obs_shape, np.uint8)
        self.action_space = Discrete(3)
        self.length = length

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return self._next(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action == self.column // 12)
        self.count += 1
        return self._next(), reward, False, self.count >= self.length, {}

    def _next(self) -> np.ndarray:
        self.column = int(self.np_random.integers(36))
        picture = np.zeros(IMAGE.obs_shape, np.uint8)
        picture[:, :, self.column] = 255
        return picture


def kept(make: Any) -> gym.Env[Any, Any]:
    return KeepFinalObservation(make())


WORLDS: dict[str, Any] = {
    "discrete": partial(gym.make, "CartPole-v1", max_episode_steps=9),
    "continuous": partial(gym.make, "Pendulum-v1", max_episode_steps=9),
    "images": PictureEnv,
}
SPECS = {"discrete": VECTOR, "continuous": TORQUE, "images": IMAGE}


def on(device: torch.device, rollout: Rollout) -> Rollout:
    parts = ((field.name, getattr(rollout, field.name)) for field in dataclasses.fields(rollout))
    return Rollout(**{name: part.to(device) if isinstance(part, torch.Tensor) else part for name, part in parts})


def graphs_on(device: torch.device | str) -> Graphs | None:
    """Captures on a GPU; no graph may be refused."""
    return Graphs(pytest.fail) if torch.device(device).type == "cuda" else None


def trainer(
    world: str, cfg: Config, device: torch.device | str, mode: str = "SameStep", *, plain: bool = False
) -> tuple[Learner, Collector, LockstepEnvs]:
    """Learner, collector and environments; with graphs on a GPU, unless they are to run kernel by kernel."""
    envs = LockstepEnvs(
        SyncVectorEnv([partial(kept, WORLDS[world])] * cfg.num_envs, autoreset_mode=AutoresetMode(mode))
    )
    spaces = spaces_of(envs.observation_space, envs.action_space)
    model = ActorCritic(
        spaces, cfg.network, normalize_obs=cfg.normalize_obs, seed=cfg.seed, precision=cfg.precision
    ).to(device)
    graphs = None if plain else graphs_on(device)
    return Learner(model, cfg, graphs=graphs), Collector(envs, model, cfg, graphs=graphs, notify=pytest.fail), envs


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """Any CUDA operation that makes the host wait for the device raises."""
    if not ON_CUDA:
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_counter_based_generator_gives_the_same_words_everywhere() -> None:
    counters = [torch.randint(0, 2**32, (1000,), generator=torch.Generator().manual_seed(k)) for k in range(4)]
    key = (0xDEADBEEF, 0xFFFFFFFF)
    here = philox((counters[0], counters[1], counters[2], counters[3]), key)
    c0, c1, c2, c3 = (counter.to(DEVICE) for counter in counters)
    for ours, theirs in zip(here, philox((c0, c1, c2, c3), key), strict=True):
        assert torch.equal(ours, theirs.cpu())


def test_noise_is_the_same_on_every_device() -> None:
    here = uniform_noise(2**40 + 7, range(5, 9), 5, range(16), 6)
    there = uniform_noise(2**40 + 7, range(5, 9), 5, range(16), 6, DEVICE)
    assert torch.equal(here, there.cpu())  # integers and powers of two: exact
    for spaces in (Spaces((4,), "float32", 6, discrete=True), Spaces((4,), "float32", 3, discrete=False)):
        distribution = distribution_of(spaces)
        noise = distribution.noise(there)
        torch.testing.assert_close(noise.cpu(), distribution.noise(here), rtol=1e-4, atol=1e-5)  # log and cos


@pytest.mark.parametrize("optimizer", ["rmsprop_tf", "rmsprop", "adam"])
@pytest.mark.parametrize("kind", ["discrete", "continuous", "images"])
def test_one_update_is_the_same_on_every_device(kind: str, optimizer: str) -> None:
    """Tolerances: 1e-4 of the gradient's length; 1e-2 for convolutions, which may run in TF32 (10-bit fractions)."""
    cfg = config(optimizer=optimizer, normalize_obs=kind != "images", gae_lambda=0.95)
    model = make_model(SPECS[kind], cfg, spread=0.1)
    rollout, _ = random_rollout(model, steps=5, count=4, gaps=True)
    here, there = Learner(copy.deepcopy(model), cfg), Learner(copy.deepcopy(model).to(DEVICE), cfg)
    here.update(rollout, 0)
    there.update(on(DEVICE, rollout), 0)
    tolerance = 1e-2 if kind == "images" else 1e-4
    assert here.weights.grad is not None
    assert there.weights.grad is not None
    assert there.weights.device.type == DEVICE.type
    assert relative_error(there.weights.grad.cpu(), here.weights.grad) < tolerance
    expected, found = here.drain_metrics(0), there.drain_metrics(0)
    for name in ("loss", "policy_loss", "value_loss", "entropy", "grad_norm"):
        assert found[f"train/{name}"] == pytest.approx(expected[f"train/{name}"], rel=tolerance, abs=tolerance)
    if here.model.normalizer is not None:
        assert there.model.normalizer is not None
        for name, buffer in there.model.normalizer.named_buffers():
            torch.testing.assert_close(buffer.cpu(), here.model.normalizer.get_buffer(name), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
@pytest.mark.parametrize("world", ["discrete", "continuous"])
def test_training_follows_the_same_path_on_every_device(world: str, mode: str) -> None:
    """20 updates, acting included; losses within 1 % (float32 sums in another order, fed back through acting)."""
    cfg = config(num_envs=8, n_step=5, normalize_obs=True, normalize_reward=True, max_grad_norm=0.5)
    runs = []
    for device in ("cpu", DEVICE):
        learner, collector, envs = trainer(world, cfg, device, mode)
        rows, steps = [], 0
        for update in range(20):
            rollout = collector.collect(update)
            learner.update(rollout, steps)
            steps += rollout.transitions
            rows.append(learner.drain_metrics(steps) | {"steps": steps} | collector.metrics())
        envs.close()
        runs.append(rows)
    for k, (expected, found) in enumerate(zip(*runs, strict=True)):
        assert found.keys() == expected.keys()
        for name, number in expected.items():
            assert found[name] == pytest.approx(number, rel=1e-2, abs=1e-3), (k, name)


def test_a_network_of_convolutions_acts_and_learns() -> None:
    cfg = config(num_envs=4, n_step=5, optimizer="adam", lr=1e-3)
    learner, collector, envs = trainer("images", cfg, DEVICE)
    before = learner.weights.detach().clone()
    for update in range(5):
        rollout = collector.collect(update)
        assert rollout.obs.dtype == torch.uint8
        assert rollout.obs.device.type == DEVICE.type
        assert torch.equal(rollout.final_values != 0, rollout.truncated)
        learner.update(rollout, update)
    envs.close()
    metrics = learner.drain_metrics(0)
    assert all(np.isfinite(number) for number in metrics.values())
    assert not torch.equal(learner.weights, before)


def test_what_the_device_holds_is_what_the_environments_gave() -> None:
    cfg = config(num_envs=4, n_step=5)
    learner, collector, envs = trainer("discrete", cfg, DEVICE)
    given: list[Any] = []
    receive = envs.receive

    def recorded() -> Any:
        given.append(receive())
        given[-1] = dataclasses.replace(given[-1], obs=given[-1].obs.copy())
        return given[-1]

    envs.receive = recorded  # type: ignore[method-assign]
    last = None
    for update in range(4):
        rollout = collector.collect(update)
        learner.update(rollout, 0)
        steps = given[-5:]
        assert last is None or torch.equal(rollout.obs[0].cpu(), last)
        last = rollout.obs[-1].cpu().clone()
        assert torch.equal(rollout.obs[1:].cpu(), torch.from_numpy(np.stack([step.obs for step in steps])))
        assert torch.equal(rollout.rewards.cpu(), torch.from_numpy(np.stack([step.rewards for step in steps])))
        assert torch.equal(rollout.truncated.cpu(), torch.from_numpy(np.stack([step.truncated for step in steps])))
    envs.close()


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("optimizer", ["rmsprop_tf", "rmsprop", "adam"])
@pytest.mark.parametrize("kind", ["discrete", "continuous", "images"])
def test_nothing_in_an_update_waits_for_the_device(kind: str, optimizer: str, gaps: bool) -> None:
    cfg = config(
        optimizer=optimizer,
        normalize_obs=True,
        normalize_advantage=True,
        max_grad_norm=0.5,
        lr_schedule="linear",
        beta_schedule="cosine",
        gae_lambda=0.95,
    )
    model = make_model(SPECS[kind], cfg, spread=0.1)
    rollout = on(DEVICE, random_rollout(model, steps=5, count=4, gaps=gaps)[0])
    learner = Learner(model.to(DEVICE), cfg)
    learner.update(rollout, 0)  # the first one loads kernels and allocates the optimizer's state
    with no_waiting():
        for update in range(3):
            learner.update(rollout, update)
    assert learner.weights.isfinite().all()


@needs_cuda
def test_the_detector_of_waits_detects_them() -> None:
    number = torch.ones((), device=DEVICE)
    with pytest.raises(RuntimeError, match="synchroniz"), no_waiting():
        number.item()


@needs_cuda
def test_observations_leave_from_page_locked_memory() -> None:
    learner, collector, envs = trainer("images", config(num_envs=4, n_step=5), DEVICE)
    arriving = collector._groups[0].actor._host_obs
    assert arriving is not None
    assert arriving.is_pinned()
    assert collector._obs.device.type == "cuda"
    assert learner.weights.is_cuda
    envs.close()


@pytest.mark.parametrize(
    "stepping",
    [
        ("vectorization=sync",),
        ("vectorization=sync", "env_groups=2"),
        ("vectorization=workers", "main_shard=true"),
        ("vectorization=workers", "main_shard=false"),
        ("vectorization=workers", "env_groups=2"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("env", ["cartpole", "pendulum"])
def test_graphs_train_like_kernels_one_by_one(env: str, stepping: tuple[str, ...]) -> None:
    """20 updates with every action; the same kernels on the same numbers: equal but for the order of their sums."""
    told: list[str] = []
    found = []
    for graphs in (False, True):
        cfg = load_config(
            f"env={env}",
            f"device={DEVICE}",
            "num_envs=6",
            "n_step=4",
            f"cuda_graphs={str(graphs).lower()}",
            *stepping,
            "lr_schedule=linear",
            "beta_schedule=linear",
            "total_steps=1000",
            "wandb.mode=disabled",
        )
        with make_envs(cfg) as envs:
            learner, collector = build(cfg, envs, notify=told.append)
            actions = []
            for update in range(20):
                rollout = collector.collect(update)
                actions.append(rollout.actions.clone())
                learner.update(rollout, 24 * update)
        found.append((torch.stack(actions).float(), learner.weights.detach().clone()))
    assert told == []  # no graph was refused
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"], ids=["whole", "gaps"])
@pytest.mark.parametrize("optimizer", ["rmsprop_tf", "adam"])
@pytest.mark.parametrize(
    ("world", "precision"),
    [
        ("discrete", "float32"),
        ("continuous", "float32"),
        ("images", "float32"),
        ("images", "bf16"),
        ("discrete", "bf16"),
    ],
)
def test_every_network_optimizer_and_kind_of_rollout_is_captured(
    world: str, precision: str, optimizer: str, mode: str
) -> None:
    """Episodes are cut within every rollout, so that final values count; 12 updates beside the plain kernels."""
    normalised = {"normalize_obs": True, "normalize_reward": True} if world != "images" else {}
    cfg = config(num_envs=6, n_step=10, precision=precision, optimizer=optimizer, lr=1e-4, **normalised)
    found = []
    for plain in (False, True):
        learner, collector, envs = trainer(world, cfg, DEVICE, mode, plain=plain)
        rewards, finals = [], 0
        for update in range(12):
            rollout = collector.collect(update)
            rewards.append(rollout.rewards.clone())
            finals += int((rollout.final_values != 0).sum())
            learner.update(rollout, 60 * update)
        envs.close()
        assert finals > 12
        assert (rollout.weight is not None) == (mode == "NextStep")
        found.append((torch.stack(rewards), learner.weights.detach().clone(), learner.drain_metrics(0)))
    (rewards, weights, metrics), (plain_rewards, plain_weights, plain_metrics) = found
    torch.testing.assert_close(rewards, plain_rewards, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(weights, plain_weights, rtol=1e-2, atol=1e-3)
    assert metrics == pytest.approx(plain_metrics, rel=5e-2, abs=1e-2)


@needs_cuda
def test_a_graph_whose_results_differ_is_refused() -> None:
    told: list[str] = []
    number, calls = torch.zeros(3, device=DEVICE), []

    def drifts() -> None:
        calls.append(1)  # a graph does not run Python: it repeats what the call that was captured did
        number.fill_(float(len(calls)))

    again = Graphs(told.append).capture(drifts, [number], "a test")
    assert told == [
        "no CUDA graph for a test: 1 of its 1 results differ from the plain ones, by 5.0e-01; "
        "going on without it, slower"
    ]
    assert again is drifts


@needs_cuda
def test_a_capture_that_fails_leaves_everything_as_it_was() -> None:
    """A wait within a capture breaks it; graphs from before go on, and so does whatever runs on the current stream."""
    told: list[str] = []
    graphs = Graphs(told.append)
    good, number = torch.zeros(3, device=DEVICE), torch.zeros(3, device=DEVICE)
    before = graphs.capture(lambda: good.add_(1), [good], "a sum")
    calls = []

    def waits() -> None:
        calls.append(1)
        number.add_(1)
        if len(calls) == 6:  # the run that is captured
            number.sum().item()

    current = torch.cuda.current_stream()
    assert graphs.capture(waits, [number], "waiting") is waits
    assert torch.cuda.current_stream() == current
    assert number.tolist() == [1, 1, 1]
    assert len(told) == 1
    assert told[0].startswith("no CUDA graph for waiting: ")
    before()
    number.mul_(3)
    assert (good.tolist(), number.tolist()) == ([2, 2, 2], [3, 3, 3])
    assert torch.randn(4, device=DEVICE).isfinite().all()


@needs_cuda
@pytest.mark.parametrize(
    "stepping", [("vectorization=sync",), ("vectorization=workers", "num_workers=2")], ids=" ".join
)
def test_observations_are_locked_where_the_environments_write_them(stepping: tuple[str, ...]) -> None:
    cfg = load_config("env=cartpole", f"device={DEVICE}", "num_envs=6", *stepping, "wandb.mode=disabled")
    with make_envs(cfg) as envs:
        _, collector = build(cfg, envs, notify=pytest.fail)
        assert isinstance(envs.envs, EnvGroups)
        (group,) = envs.envs.groups
        source = collector._groups[0].actor._host_obs  # type: ignore[union-attr]
        assert group.observations is not None
        assert source.data_ptr() == group.observations.ctypes.data
        assert source.is_pinned()


@pytest.mark.parametrize("apart", ["auto", "true", "false"])
def test_a_whole_run_trains_evaluates_and_saves(tmp_path: Path, apart: str) -> None:
    cfg = load_config(
        "env=cartpole",
        f"device={DEVICE}",
        "total_steps=2000",
        "vectorization=sync",
        "eval.every=1000",
        f"eval.apart={apart}",
        "eval.episodes=2",
        "eval.final_episodes=2",
        "wandb.mode=disabled",
        "gif=false",
        f"runs_dir={tmp_path}",
    )
    summary = train(cfg, tmp_path / "run")
    assert summary.env_steps >= 2000
    assert summary.eval_mean is not None
    there, here = load_policy(tmp_path / "run", device=str(DEVICE)), load_policy(tmp_path / "run", device="cpu")
    scores = evaluate(here, episodes=2)
    assert evaluate(there, episodes=2).rewards == scores.rewards
    assert summary.eval_mean == scores.mean  # whoever played them
