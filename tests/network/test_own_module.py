"""A user's own ``nn.Module``, and observations of several parts: what comes later must find its place."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from a2c.collecting.collector import Collector
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.spaces import spaces_of
from a2c.envs.vector.inprocess import InProcessVectorEnv
from a2c.errors import ConfigError
from a2c.learning.learner import Learner
from a2c.network.acting import policy_of
from a2c.network.own_module import OwnModule
from a2c.network.passes import AutogradPass, pass_over
from a2c.playing.policy import Policy
from a2c.rollout import Rollout
from builders import TORQUE, VECTOR, config, make_model, random_rollout
from envs.toys import IdentityEnv, TargetEnv


class Plain(nn.Module):
    """Nothing but ``forward(obs) -> (params, values)``."""

    def __init__(self, inputs: int, params: int) -> None:
        super().__init__()
        self.body = nn.Linear(inputs, 32)
        self.params, self.values = nn.Linear(32, params), nn.Linear(32, 1)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.tanh(self.body(obs))
        return self.params(features), self.values(features)


def trained(env: type[Any], inputs: int, params: int, updates: int) -> tuple[float, OwnModule]:
    """Mean reward of the last rollouts of a plain module, trained with our collector and learner."""
    torch.manual_seed(1)
    cfg = config(num_envs=8, n_step=5, lr=1e-2, optimizer="adam", beta=0.0, gamma=0.0)
    envs = LockstepEnvs(InProcessVectorEnv([env] * 8, autoreset_mode="SameStep"))
    network = OwnModule(Plain(inputs, params), spaces_of(envs.observation_space, envs.action_space))
    learner, collector = Learner(network, cfg), Collector(envs, network, cfg)
    rewards = []
    for update in range(updates):
        rollout = collector.collect(update)
        learner.update(rollout, 0)
        rewards.append(float(rollout.rewards.mean()))
    envs.close()
    return sum(rewards[-20:]) / 20, network


def test_it_learns_what_our_own_network_learns() -> None:
    reward, network = trained(IdentityEnv, inputs=3, params=3, updates=200)
    assert reward > 0.95  # guessing gives 1/3
    assert network.describe() == "Plain, 260 weights"
    policy = Policy(network, config())
    assert policy.act([[0, 1, 0], [0, 0, 1]]).tolist() == [1, 2]


def test_the_distribution_comes_from_the_spaces() -> None:
    reward, network = trained(TargetEnv, inputs=2, params=4, updates=150)
    assert network.distribution.param_size == 4  # mean and log standard deviation of two dimensions
    untrained = trained(TargetEnv, inputs=2, params=4, updates=20)[0]
    assert reward > untrained


@pytest.mark.parametrize("spaces", [VECTOR, TORQUE], ids=["discrete", "continuous"])
def test_wrapped_our_own_network_has_the_gradient_that_it_has_itself(spaces: Any) -> None:
    cfg = config(gae_lambda=0.9, beta=0.02)
    ours = make_model(spaces, cfg, torch.float64, spread=0.1)
    rollout, _ = random_rollout(ours, steps=4, count=3)
    gradients = []
    for network in (make_model(spaces, cfg, torch.float64, spread=0.1), OwnModule(ours, spaces)):
        learner = Learner(network, cfg)
        learner.update(rollout, 0)
        gradients.append(learner.weights.grad)
    assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-12)


def test_only_our_own_perceptron_has_a_pass_of_its_own() -> None:
    network = OwnModule(Plain(4, 3), VECTOR)
    flat = Learner(network, config()).weights
    assert isinstance(pass_over(network, flat, 2, 3), AutogradPass)
    assert policy_of(network, 3).begin() == network.policy


def test_a_module_that_gives_another_shape_is_named() -> None:
    network = OwnModule(Plain(4, 5), VECTOR)
    said = r"Plain gave parameters of shape \[2, 5\] and values of shape \[2, 1\]; Categorical\(n=3\) needs \[B, 3\]"
    with pytest.raises(ConfigError, match=said):
        network.forward(torch.zeros(2, 4))


class Parts(nn.Module):
    """Takes a dictionary of two parts; the same arithmetic as a linear layer over both together."""

    def __init__(self) -> None:
        super().__init__()
        self.params, self.values = nn.Linear(4, 3), nn.Linear(4, 1)

    def forward(self, obs: Any) -> tuple[Tensor, Tensor]:
        together = torch.cat([obs["left"], obs["right"]], -1) if isinstance(obs, dict) else obs
        return self.params(together), self.values(together)


def test_observations_of_several_parts_reach_the_network_and_give_the_same_gradient() -> None:
    cfg = config()
    torch.manual_seed(0)
    module = Parts()
    rollout, _ = random_rollout(make_model(VECTOR, cfg), steps=4, count=3)
    assert isinstance(rollout.obs, Tensor)
    parts = {"left": rollout.obs[..., :1].clone(), "right": rollout.obs[..., 1:].clone()}
    in_parts = Rollout(**{name: getattr(rollout, name) for name in Rollout.__slots__} | {"obs": parts})
    gradients = []
    for seen in (rollout, in_parts):
        learner = Learner(OwnModule(module, VECTOR), cfg)
        learner.update(seen, 0)
        assert learner.weights.grad is not None
        gradients.append(learner.weights.grad.clone())
        torch.manual_seed(0)
        module = Parts()
    assert_close(gradients[0], gradients[1], rtol=0, atol=0)
    assert gradients[0].any()
