"""A network with a memory: where it starts, and what a user's own needs in order to act and to learn."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import pytest
import torch
from gymnasium.spaces import Box, Dict
from gymnasium.vector import AutoresetMode
from torch import Tensor, nn

from a2c.collecting.collector import Collector
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.spaces import ObsLeaf
from a2c.envs.vector.inprocess import InProcessVectorEnv
from a2c.learning.learner import Learner
from a2c.maths.distributions import Categorical
from a2c.network.protocol import remembers
from builders import IMAGE, VECTOR, config, make_model
from envs.toys import CountingEnv


@pytest.mark.parametrize(("kind", "gates", "size"), [("lstm", 4, 16), ("gru", 3, 8)])
def test_a_memory_begins_by_keeping(kind: str, gates: int, size: int) -> None:
    model = make_model(VECTOR, config(network={"memory": kind, "memory_size": 8, "hidden_sizes": [5]}))
    cell = model.memory
    # the second gate keeps; all weights from and to the memory are orthogonal: columns, or rows where those are fewer
    assert torch.equal(cell.bias_ih, torch.tensor([0.0, 1.0, *[0.0] * (gates - 2)]).repeat_interleave(8))
    assert not cell.bias_hh.any()
    for weight in (cell.weight_ih, cell.weight_hh):
        torch.testing.assert_close(weight.T @ weight, torch.eye(weight.shape[1]), rtol=0, atol=1e-5)
    assert model.initial_memory(3).shape == (3, size)
    assert not model.initial_memory(3).any()
    weights = sum(param.numel() for param in model.parameters())
    assert model.describe() == f"mlp, {kind} of 8, {weights:,} weights"
    # 4 inputs, 5 features, heads for 3 actions and a value
    assert weights == 4 * 5 + 5 + gates * 8 * (5 + 8 + 2) + 8 * 3 + 3 + 8 + 1


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_images_may_be_remembered(precision: str) -> None:
    model = make_model(IMAGE, config(network={"memory": "lstm"}, precision=precision))
    obs = torch.randint(0, 256, (3, 2, *IMAGE.obs_shape), dtype=torch.uint8)
    began = torch.tensor([[True, True], [False, True], [False, False]])
    with torch.no_grad():
        params, values, last = model.forward(obs, model.initial_memory(2), began)
        state = model.initial_memory(2)
        for t in range(3):
            state = state * ~began[t].unsqueeze(1)
            value = model.value(obs[t], state)
            now, state = model.policy(obs[t], state)
            torch.testing.assert_close(now, params[t], rtol=1e-2, atol=1e-2)
            torch.testing.assert_close(value, values[t], rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(state, last, rtol=1e-2, atol=1e-2)
    assert params.dtype == values.dtype == last.dtype == torch.float32


def test_a_network_without_a_memory_is_none_that_remembers() -> None:
    assert not remembers(make_model(VECTOR, config()))
    assert remembers(make_model(VECTOR, config(network={"memory": "gru"})))


class Sums(nn.Module):
    """Remembers the sum of all that its episode has shown: as small as a user's own network with a memory gets."""

    normalizer = None

    def __init__(self) -> None:
        super().__init__()
        self.spaces, self.distribution = SimpleNamespace(obs={"count": ObsLeaf((1,), "float32")}), Categorical(2)
        self.head = nn.Linear(1, 3)

    def initial_memory(self, rows: int) -> Tensor:
        return self.head.weight.new_zeros(rows, 1)

    def forward(self, obs: Any, memory: Tensor, began: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sums = []
        for now, begins in zip(obs["count"], began, strict=True):
            memory = memory * ~begins.unsqueeze(1) + now
            sums.append(memory)
        out = self.head(torch.stack(sums))
        return out[..., :2], out[..., 2], memory

    def policy(self, obs: Any, memory: Tensor) -> tuple[Tensor, Tensor]:
        memory = memory + obs["count"]
        return self.head(memory)[:, :2], memory

    def value(self, obs: Any, memory: Tensor) -> Tensor:
        return self.head(memory + obs["count"])[:, 2]

    def describe(self) -> str:
        return "sums"


class InParts(gym.ObservationWrapper):
    def __init__(self, length: int) -> None:
        super().__init__(CountingEnv(length, "truncated"))
        self.observation_space = Dict({"count": Box(0, 99, (1,), "float32")})

    def observation(self, observation: Any) -> Any:
        return {"count": observation}


def test_a_users_own_network_acts_and_learns() -> None:
    envs = LockstepEnvs(
        InProcessVectorEnv([partial(InParts, 4), partial(InParts, 3)], autoreset_mode=AutoresetMode.SAME_STEP)
    )
    cfg = config(num_envs=2, n_step=6)
    model: Any = Sums()
    learner, collector = Learner(model, cfg), Collector(envs, model, cfg)
    before = learner.weights.detach().clone()
    for update in range(3):
        rollout = collector.collect(update)
        assert rollout.memory is not None
        # after k steps of an episode: 0 + 1 + .. + k-1; before the reset, where the final observation is k
        count = rollout.obs["count"][..., 0]  # type: ignore[index, call-overload]
        sums = (count * (count - 1) / 2).clamp(min=0)
        assert rollout.began is not None
        assert torch.equal(torch.where(rollout.began, 0.0, rollout.memory[..., 0]), sums)
        for t, env in rollout.truncated.nonzero().tolist():
            final = (4.0, 3.0)[env]
            value = model.head(torch.tensor([final * (final + 1) / 2]))[2]
            torch.testing.assert_close(rollout.final_values[t, env], value.detach())
        learner.update(rollout, 0)
    envs.close()
    assert not torch.equal(learner.weights, before)
