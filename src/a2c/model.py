"""The actor-critic network: torso, policy head, value head."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from a2c.config import NetworkConfig
from a2c.errors import ConfigError
from a2c.normalize import ObsNormalizer, as_float
from a2c.spec import Spec

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "silu": nn.SiLU}


class ActorCritic(nn.Module):
    """Policy parameters and values from observations.

    Args:
        spec: shapes of the environment.
        network: which torso, how wide.
        normalize_obs: put an :class:`ObsNormalizer` in front.
        seed: the initial weights are a function of it alone.

    Raises:
        ConfigError: the torso does not fit the observations.
    """

    def __init__(self, spec: Spec, network: NetworkConfig, *, normalize_obs: bool = False, seed: int = 0) -> None:
        super().__init__()
        self.spec = spec
        self.distribution = spec.distribution
        self.kind = kind = torso_kind(spec, network)
        shared = (kind == "nature_cnn") if network.shared_torso is None else network.shared_torso
        self.normalizer = ObsNormalizer(spec.obs_shape) if normalize_obs else None
        self.torso, features = build_torso(kind, spec, network)
        self.value_torso = None if shared else build_torso(kind, spec, network)[0]
        self.policy_head = PolicyHead(features, spec, network.log_std_init)
        self.value_head = nn.Linear(features, 1)
        self._initialize(seed)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, *obs]`` -> policy parameters ``[B, P]`` and values ``[B]``, one pass."""
        inputs = self._inputs(obs)
        features = self.torso(inputs)
        value_features = features if self.value_torso is None else self.value_torso(inputs)
        return self.policy_head(features), self.value_head(value_features).squeeze(-1)

    def policy(self, obs: Tensor) -> Tensor:
        """``[B, *obs]`` -> policy parameters ``[B, P]``; the critic is not run."""
        params: Tensor = self.policy_head(self.torso(self._inputs(obs)))
        return params

    def value(self, obs: Tensor) -> Tensor:
        """``[B, *obs]`` -> values ``[B]``."""
        torso = self.torso if self.value_torso is None else self.value_torso
        values: Tensor = self.value_head(torso(self._inputs(obs))).squeeze(-1)
        return values

    def describe(self) -> str:
        """For the start panel: ``mlp, policy and value apart, 9,155 weights``."""
        torso = "one torso" if self.value_torso is None else "policy and value apart"
        weights = sum(param.numel() for param in self.parameters())
        return f"{self.kind}, {torso}, {weights:,} weights"

    def _inputs(self, obs: Tensor) -> Tensor:
        obs = as_float(obs)
        return obs if self.normalizer is None else self.normalizer(obs)

    def _initialize(self, seed: int) -> None:
        """Orthogonal weights, zero biases; a near-uniform first policy (Andrychowicz et al. 2021, section 3.2)."""
        generator = torch.Generator().manual_seed(seed)
        gains: dict[nn.Module, float] = {self.policy_head.linear: 0.01, self.value_head: 1.0}
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.orthogonal_(module.weight, gains.get(module, math.sqrt(2)), generator=generator)
                assert module.bias is not None
                nn.init.zeros_(module.bias)


class PolicyHead(nn.Module):
    """Features -> parameters of the action distribution."""

    def __init__(self, features: int, spec: Spec, log_std_init: float) -> None:
        super().__init__()
        self.linear = nn.Linear(features, spec.actions)
        # The spread of continuous actions is learned, and the same in every state.
        self.log_std = None if spec.discrete else nn.Parameter(torch.full((spec.actions,), log_std_init))

    def forward(self, features: Tensor) -> Tensor:
        """``[B, F]`` -> logits ``[B, n]``, or mean and log standard deviation ``[B, 2 D]``."""
        out: Tensor = self.linear(features)
        return out if self.log_std is None else torch.cat([out, self.log_std.expand_as(out)], -1)


def torso_kind(spec: Spec, network: NetworkConfig) -> str:
    """``mlp`` or ``nature_cnn``: as configured, or as the observations suggest."""
    if network.torso != "auto":
        return network.torso
    return "nature_cnn" if spec.image else "mlp"


def build_torso(kind: str, spec: Spec, network: NetworkConfig) -> tuple[nn.Sequential, int]:
    """The torso and its number of features."""
    if kind == "mlp":
        activation = ACTIVATIONS[network.activation]
        sizes = [math.prod(spec.obs_shape), *network.hidden_sizes]
        layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), activation())]
        return nn.Sequential(nn.Flatten(), *layers), sizes[-1]
    if not spec.image or min(spec.obs_shape[1:]) < 36:
        raise ConfigError(
            f"network.torso=nature_cnn needs images [C, H, W] of at least 36 pixels a side, "
            f"but observations have shape {list(spec.obs_shape)}; network.torso=mlp takes any shape"
        )
    # Mnih et al. 2015, "Human-level control through deep reinforcement learning".
    channels, height, width = spec.obs_shape
    height, width = (((((side - 8) // 4 + 1) - 4) // 2 + 1) - 2 for side in (height, width))
    return nn.Sequential(
        nn.Conv2d(channels, 32, 8, stride=4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, stride=2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * height * width, 512),
        nn.ReLU(),
    ), 512
