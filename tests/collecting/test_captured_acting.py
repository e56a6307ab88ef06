"""A step of acting can be a CUDA graph: played again from a tape, it draws the same actions."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from gymnasium.vector import AutoresetMode
from torch import Tensor

from a2c.collecting.actor import Actor
from a2c.collecting.collector import Collector
from a2c.envs.frames import Frames
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.spaces import Spaces, spaces_of
from a2c.envs.vector.inprocess import InProcessVectorEnv
from a2c.machine.graphs import Graphs
from a2c.network.actor_critic import ActorCritic
from a2c.network.flat_weights import flatten_parameters
from builders import IMAGE, TORQUE, VECTOR, config, kept, make_model
from capturing import VIEWS, FakeCuda, KernelByKernel, Operations, Stream, visible
from envs.films import film

T, N = 3, 16


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    visible(monkeypatch)
    return FakeCuda(monkeypatch)


class Acting:
    """An actor with its memory, as on a GPU: observations arrive in memory of their own."""

    def __init__(self, model: ActorCritic, graphs: Graphs | None) -> None:
        spaces, distribution = model.spaces, model.distribution
        dtype = getattr(torch, spaces.obs_dtype)
        self.obs = torch.zeros(T + 1, N, *spaces.obs_shape, dtype=dtype)
        self.noise = torch.zeros(T, N, *distribution.noise(torch.full((distribution.noise_size,), 0.5)).shape)
        self.actions = torch.zeros(T, N, *distribution.action_shape, dtype=distribution.action_dtype)
        self.arriving = torch.zeros(N, *spaces.obs_shape, dtype=dtype)
        self.model, self.actor = model, Actor(model, self.obs, self.noise, self.actions, self.arriving, graphs)

    @torch.inference_mode()
    def rollout(self, observations: Tensor, uniform: Tensor) -> Tensor:
        self.noise.copy_(self.model.distribution.noise(uniform))
        self.obs[0].copy_(observations[0])
        self.actor.begin()
        for t in range(T):
            self.arriving.copy_(observations[t])
            assert self.actor.act(t).shape == self.actions[t].shape
        return self.actions.clone()


def given(spaces: Spaces, model: ActorCritic, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    uniform = torch.rand(T, N, model.distribution.noise_size, generator=draw).clamp(1e-3, 1 - 1e-3)
    if spaces.obs_dtype == "uint8":
        return torch.randint(0, 256, (T, N, *spaces.obs_shape), generator=draw).to(torch.uint8), uniform
    return torch.randn(T, N, *spaces.obs_shape, generator=draw), uniform


@pytest.mark.parametrize("normalize_obs", [False, True], ids=["raw", "normalised"])
@pytest.mark.parametrize(
    ("spaces", "precision"),
    [(VECTOR, "float32"), (TORQUE, "float32"), (IMAGE, "float32"), (IMAGE, "bf16")],
    ids=["discrete", "continuous", "images", "images-bf16"],
)
def test_captured_acting_draws_the_same_actions(
    cuda: FakeCuda, spaces: Spaces, precision: str, normalize_obs: bool
) -> None:
    """From other observations and noise, with other weights and statistics, than it was captured with."""
    model = make_model(spaces, config(precision=precision, normalize_obs=normalize_obs), spread=0.1)
    captured, plain = Acting(model, Graphs(pytest.fail)), Acting(model, None)
    for seed in range(3):
        drawn = given(spaces, model, seed)
        assert torch.equal(captured.rollout(*drawn), plain.rollout(*drawn))
        with torch.no_grad():
            for weights in model.parameters():
                weights.mul_(1.1)
        if model.normalizer is not None:
            model.normalizer.update(drawn[0])
    assert len(cuda.captures) == T
    assert cuda.replays == T + 2 * T


@pytest.mark.parametrize("spaces", [VECTOR, TORQUE], ids=["discrete", "continuous"])
def test_a_graph_that_does_nothing_shows_even_where_the_only_action_is_the_one_that_memory_held(
    cuda: FakeCuda, spaces: Spaces
) -> None:
    cuda.graph.eager = True
    told: list[str] = []
    model = make_model(spaces, config(), spread=0.0)
    acting, plain = Acting(model, Graphs(told.append)), Acting(model, KernelByKernel())
    drawn = given(spaces, model, 0)
    expected = plain.rollout(*drawn)
    acting.actions.copy_(expected)  # by chance
    assert torch.equal(acting.rollout(*drawn), expected)
    assert len(told) == 1
    assert told[0].startswith("no CUDA graph for acting at step 0: 2 of its 2 results differ from the plain ones")


@pytest.mark.parametrize("spaces", [VECTOR, TORQUE, IMAGE], ids=["discrete", "continuous", "images"])
def test_a_graph_that_leaves_out_any_operation_of_a_step_is_refused(cuda: FakeCuda, spaces: Spaces) -> None:
    """The plain runs before have left the right numbers everywhere in memory: they must not count."""
    model = make_model(spaces, config(), spread=5.0)
    drawn = given(spaces, model, 0)
    Acting(model, Graphs(pytest.fail)).rollout(*drawn)
    second = cuda.graphs[1].tape.calls  # of the second step, whose observations arrive
    refused = []
    for index in range(len(second)):
        told: list[str] = []
        acting = Acting(model, Graphs(told.append))
        acting.actor.begin()  # which drops the graphs of weights that lay elsewhere
        acting.actor._steps.append(lambda acting=acting: acting.actor._device_step(0))  # captured before
        cuda.graph.drops = index
        acting.rollout(*drawn)
        cuda.graph.drops = None
        if cuda.graphs[-1].dropped not in VIEWS:
            refused.append((cuda.graphs[-1].dropped, bool(told)))
    assert len(refused) > 5
    assert [name for name, told in refused if not told] == []  # sharp policies, many rows: no action is right by chance


def test_weights_that_move_are_captured_anew(cuda: FakeCuda) -> None:
    """A second learner lays them out anew: graphs would go on reading where they were."""
    model = make_model(VECTOR, config(), spread=0.1)
    captured, plain = Acting(model, Graphs(pytest.fail)), Acting(model, None)
    drawn = given(VECTOR, model, 0)
    captured.rollout(*drawn)
    with torch.no_grad():
        flatten_parameters(model).mul_(-1.0)
    assert torch.equal(captured.rollout(*drawn), plain.rollout(*drawn))
    assert len(cuda.captures) == 2 * T


def test_a_step_waits_for_the_stream_that_its_work_runs_on(cuda: FakeCuda) -> None:
    """Not for the one that was current when the actor was made."""
    model = make_model(VECTOR, config())
    acting = Acting(model, None)
    acting.actor._on_cuda = True  # as if
    cuda.current = Stream()
    acting.rollout(*given(VECTOR, model, 0))
    assert (cuda.current.waits, cuda.first.waits) == (T, 0)


@pytest.mark.parametrize("memory", [None, "gru"])
@pytest.mark.parametrize("frames", [Frames(4, repeated=True), Frames(4, repeated=False)], ids=["repeated", "zeros"])
def test_stacks_and_memories_of_a_captured_step_are_those_of_a_plain_one(
    cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch, frames: Frames, memory: str | None
) -> None:
    """With episodes that begin anew; bit for bit."""
    for module in ("group", "memory_states"):
        monkeypatch.setattr(f"a2c.collecting.{module}.on_host", lambda device: False)  # as if
    runs = []
    for graphs in (Graphs(pytest.fail), None):
        vector = InProcessVectorEnv([partial(film, 1)] * 3, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
        envs = LockstepEnvs(vector, frames=frames)
        cfg = config(num_envs=3, n_step=5, network={"memory": memory, "memory_size": 4})
        model = make_model(spaces_of(envs.observation_space, envs.action_space), cfg, spread=0.1)
        collector = Collector(envs, model, cfg, graphs=graphs)
        rollouts = [kept(collector.collect(update)) for update in range(6)]
        envs.close()
        runs.append(rollouts)
    assert len(cuda.captures) == 5
    assert any(bool((one.terminated | one.truncated).any()) for one in runs[0])
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one.obs, other.obs)
        assert torch.equal(one.actions, other.actions)
        assert torch.equal(one.final_values, other.final_values)
        if memory is not None:
            assert torch.equal(one.memory, other.memory)
            assert torch.equal(one.began, other.began)


@pytest.mark.parametrize(("spaces", "budget"), [(VECTOR, 10), (TORQUE, 11), (IMAGE, 18)], ids=["mlp", "spread", "cnn"])
def test_a_step_of_acting_launches_few_kernels_and_waits_once(
    monkeypatch: pytest.MonkeyPatch, spaces: Spaces, budget: int
) -> None:
    visible(monkeypatch)
    model = make_model(spaces, config())
    acting = Acting(model, None)
    drawn = given(spaces, model, 0)
    acting.rollout(*drawn)
    with torch.inference_mode(), Operations() as seen:
        acting.actor.act(1)
    assert seen.waits == []  # the one wait is for the stream
    assert seen.launched <= budget, seen.counts
