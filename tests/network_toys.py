"""Networks, torsos and encoders as a user writes them: ``network.torso=network_toys:Ours``."""

from __future__ import annotations

import math
import os
import signal
import time
from typing import Any

import torch
from torch import Tensor, nn

from a2c.envs.spaces import Spaces


class Ours(nn.Module):
    """The arithmetic of our own torso for vectors, with the initial weights of PyTorch."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(math.prod(shape), 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())

    def forward(self, obs: Tensor) -> Tensor:
        return self.layers(obs.flatten(1).to(self.layers[0].weight.dtype))


class Lazy(nn.Module):
    """Finds its sizes by itself; batch statistics must not see the trial."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(5), nn.BatchNorm1d(5))

    def forward(self, obs: Tensor) -> Tensor:
        return self.layers(obs)


class Pair(nn.Module):
    """Nothing but ``forward``: torsos of policy and value apart."""

    def __init__(self, inputs: int, params: int) -> None:
        super().__init__()
        self.policy_body, self.value_body = Ours((inputs,)), Ours((inputs,))
        self.params, self.values = nn.Linear(64, params), nn.Linear(64, 1)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        return self.params(self.policy_body(obs)), self.values(self.value_body(obs))


def pair(spaces: Spaces) -> nn.Module:
    return Pair(spaces.obs_shape[0], spaces.actions)


class Counting(nn.Module):
    """A memory that adds up observations; ``policy`` and ``value`` are left to be a rollout of one step."""

    def __init__(self, spaces: Spaces) -> None:
        super().__init__()
        self.size = spaces.obs_shape[0]
        self.params, self.values = nn.Linear(self.size, spaces.actions), nn.Linear(self.size, 1)

    def initial_memory(self, rows: int) -> Tensor:
        return self.values.weight.new_zeros(rows, self.size)

    def forward(self, obs: Tensor, memory: Tensor, began: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states = []
        for now, begins in zip(obs.unbind(), began.unbind(), strict=True):
            memory = memory.masked_fill(begins.unsqueeze(-1), 0.0) + now
            states.append(memory)
        known = torch.stack(states) / 10
        return self.params(known), self.values(known).squeeze(-1), memory


class Part(nn.Module):
    """An encoder that shows what it got: the sum over its part, and a weight."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.weight = shape, nn.Parameter(torch.ones(()))

    def forward(self, obs: Tensor) -> Tensor:
        assert obs.shape[1:] == self.shape
        return obs.flatten(1).sum(1, keepdim=True) * self.weight


# ---- what does not fit ----


def no_module(shape: Any) -> Any:
    return "a network"


def raises(shape: Any) -> Any:
    raise ValueError("no such width")


def leaves(shape: Any) -> Any:
    raise SystemExit(7)


class Flat(nn.Module):
    """Forgets the batch."""

    def __init__(self, shape: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, obs: Tensor) -> Tensor:
        return self.layer(obs).flatten()


class Double(nn.Module):
    def __init__(self, shape: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3, dtype=torch.float64)

    def forward(self, obs: Tensor) -> Tensor:
        return self.layer(obs.double()).float()


class Broken(nn.Module):
    def __init__(self, shape: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(9, 3)

    def forward(self, obs: Tensor) -> Tensor:
        return self.layer(obs)


class Constant(nn.Module):
    """A network without a weight."""

    def __init__(self, spaces: Spaces) -> None:
        super().__init__()
        self.params = spaces.actions

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        return obs.new_zeros(len(obs), self.params), obs.new_zeros(len(obs))


class OneResult(Constant):
    def forward(self, obs: Tensor) -> Any:
        return obs


class LaterBroken(Pair):
    """Fails after some calls, in the middle of training."""

    def __init__(self, spaces: Spaces) -> None:
        super().__init__(spaces.obs_shape[0], spaces.actions)
        self.calls = 0

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        if self.calls > 100:
            raise RuntimeError("worn out")
        return super().forward(obs)


class Hanging(LaterBroken):
    """Never comes back after some calls, and asks for the end of its run."""

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        if self.calls == 101:
            os.kill(os.getpid(), signal.SIGTERM)
        while self.calls > 100:
            time.sleep(0.01)
        return Pair.forward(self, obs)
