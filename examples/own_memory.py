"""A network of your own that remembers.

python examples/own_memory.py
cd examples && a2c train env=cartpole n_step=16 network.make=own_memory:make_network
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

import a2c


class Averaging(nn.Module):
    """Its memory is a running average of features; how fast each one moves is learned."""

    def __init__(self, inputs: int, params: int, width: int = 64) -> None:
        super().__init__()
        self.body, self.speed = nn.Linear(inputs, width), nn.Parameter(torch.zeros(width))
        self.params, self.values = nn.Linear(2 * width, params), nn.Linear(2 * width, 1)

    def initial_memory(self, rows: int) -> Tensor:
        """Zeros ``[rows, S]``, on the device of the weights: with these an episode begins."""
        return self.speed.new_zeros(rows, len(self.speed))

    def forward(self, obs: Tensor, memory: Tensor, began: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """T steps of N environments at once.

        Args:
            obs: ``[T, N, *obs]``.
            memory: ``[N, S]``, as the step before left it.
            began: ``[T, N]`` bool, an episode begins here: forget.

        Returns:
            Parameters ``[T, N, P]``, values ``[T, N]`` or ``[T, N, 1]``, and the memory ``[N, S]`` after the last step.
        """
        features, speed, states = torch.tanh(self.body(obs)), torch.sigmoid(self.speed), []
        for now, begins in zip(features.unbind(), began.unbind(), strict=True):
            memory = torch.lerp(memory.masked_fill(begins.unsqueeze(-1), 0.0), now, speed)
            states.append(memory)
        known = torch.cat([features, torch.stack(states)], -1)
        return self.params(known), self.values(known), memory


def make_network(spaces: a2c.Spaces) -> nn.Module:
    """A module with ``initial_memory`` has a memory: acting, learning, evaluation and resumed runs keep its states."""
    return Averaging(spaces.obs_shape[0], spaces.actions)


def main(*overrides: str) -> a2c.Summary:
    """Train, and act in a loop of your own: ``policy.reset()`` begins an episode."""
    summary = a2c.train(a2c.load_config("env=cartpole", "n_step=16", *overrides), network=make_network)
    policy = a2c.load_policy(summary.folder, network=make_network)
    print(a2c.evaluate(policy, episodes=5).mean)
    return summary


if __name__ == "__main__":
    main(*sys.argv[1:])
