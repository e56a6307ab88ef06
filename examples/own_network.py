"""A whole network of your own.

python examples/own_network.py
cd examples && a2c train env=cartpole network.make=own_network:make_network
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

import a2c


class Residual(nn.Module):
    """Two residual blocks that policy and value share."""

    def __init__(self, inputs: int, params: int, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in range(2))
        self.params, self.values = nn.Linear(width, params), nn.Linear(width, 1)
        nn.init.orthogonal_(self.params.weight, 0.01)  # a first policy that tries everything

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, *obs]`` -> parameters of the policy ``[B, P]`` and values ``[B]`` (or ``[B, 1]``)."""
        x = self.first(obs)
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return self.params(x), self.values(x)


def make_network(spaces: a2c.Spaces) -> nn.Module:
    """Called with the spaces as the network sees them; CartPole's two actions take two logits."""
    return Residual(spaces.obs_shape[0], spaces.actions)


def main(*overrides: str) -> a2c.Summary:
    """Train, then load the policy: the run kept the name of the network, and the weights, but no code."""
    summary = a2c.train(a2c.load_config("env=cartpole", *overrides), network=make_network)
    policy = a2c.load_policy(summary.folder, network=make_network)
    print(a2c.evaluate(policy, episodes=5).mean)
    return summary


if __name__ == "__main__":
    main(*sys.argv[1:])
