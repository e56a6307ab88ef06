"""The actor-critic network: torso, policy head, value head."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2c.envs.spaces import Spaces
from a2c.network.heads import PolicyHead, distribution_of
from a2c.network.masking import Masking
from a2c.network.obs_normalizer import ObsNormalizer, as_float
from a2c.network.torso_choice import Torso, build_torso, describe_torso, torso_kind
from a2c.settings.config import NetworkConfig, PolicyConfig


class ActorCritic(nn.Module):
    """Policy parameters and values from observations.

    Args:
        spaces: the environment's observation and action space.
        network: kind and sizes of the torso, and where the policy starts.
        normalize_obs: put an :class:`ObsNormalizer` in front.
        seed: determines the initial weights.
        precision: ``bf16`` computes the torsos in bfloat16 (autocast); weights, heads and losses stay float32.
        policy: how continuous actions are drawn; None: by a Gaussian whose spread is free.

    Raises:
        ConfigError: the torso does not fit the observations, or the distribution the actions.
    """

    def __init__(
        self,
        spaces: Spaces,
        network: NetworkConfig,
        *,
        normalize_obs: bool = False,
        seed: int = 0,
        precision: str = "float32",
        policy: PolicyConfig | None = None,
    ) -> None:
        super().__init__()
        self.spaces = spaces
        self.precision = precision
        self.kind = kind = torso_kind(spaces, network)
        shared = (kind != "mlp") if network.shared_torso is None else network.shared_torso
        self.masking = Masking(spaces)
        self.normalizer = ObsNormalizer(self.masking.shape) if normalize_obs else None
        self.torso, features = build_torso(kind, spaces, network)
        self.value_torso = None if shared else build_torso(kind, spaces, network)[0]
        self.distribution = distribution_of(spaces, policy, features)
        self.policy_head = PolicyHead(features, self.distribution, network.log_std_init)
        self.value_head = nn.Linear(features, 1, dtype=torch.float32)
        self._initialize(seed)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, *obs]`` -> policy parameters ``[B, P]`` and values ``[B]``, in one pass."""
        inputs = self.inputs(obs)
        features = self._features(self.torso, inputs)
        value_features = features if self.value_torso is None else self._features(self.value_torso, inputs)
        params = self.masking.masked(self.policy_head.forward(features), obs)
        return params, values_of(self.value_head, value_features)

    def policy(self, obs: Tensor) -> Tensor:
        """``[B, *obs]`` -> policy parameters ``[B, P]``, without running the critic."""
        return self.masking.masked(self.policy_head.forward(self._features(self.torso, self.inputs(obs))), obs)

    def value(self, obs: Tensor) -> Tensor:
        """``[B, *obs]`` -> values ``[B]``."""
        torso = self.torso if self.value_torso is None else self.value_torso
        return values_of(self.value_head, self._features(torso, self.inputs(obs)))

    def describe(self) -> str:
        """For the start panel: ``mlp, policy and value apart, 9,155 weights``."""
        torso = "one torso" if self.value_torso is None else "policy and value apart"
        weights = sum(param.numel() for param in self.parameters())
        return f"{describe_torso(self.kind, self.torso)}, {torso}, {weights:,} weights"

    def inputs(self, obs: Tensor) -> Tensor:
        """The input of the torsos: observations without their mask, normalised if the network has a normaliser."""
        obs = self.masking.features(obs)
        return obs if self.normalizer is None else self.normalizer(as_float(obs))

    def _features(self, torso: Torso, inputs: Tensor) -> Tensor:
        return features_of(torso, inputs, self.precision)

    def _initialize(self, seed: int) -> None:
        initialize(self, self.policy_head, self.value_head, torch.Generator().manual_seed(seed))


def features_of(torso: Torso, inputs: Tensor, precision: str) -> Tensor:
    """``[B, *obs]`` -> features ``[B, F]`` in float32, whatever precision the torso computes in."""
    if precision == "float32":  # entering autocast, even when it does nothing, costs as much as a layer
        return torso.forward(inputs)
    with torch.autocast(inputs.device.type, torch.bfloat16):
        return torso.forward(inputs).float()


def values_of(head: nn.Linear, features: Tensor) -> Tensor:
    """``[B, F]`` -> ``[B]``."""
    return F.linear(features, head.weight, head.bias).squeeze(-1)


def initialize(model: nn.Module, policy_head: PolicyHead, value_head: nn.Linear, generator: torch.Generator) -> None:
    """Orthogonal weights, zero biases; a near-uniform first policy (Andrychowicz et al. 2021, section 3.2)."""
    gains: dict[nn.Module, float] = {policy_head.linear: 0.01, value_head: 1.0}
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.orthogonal_(module.weight, gains.get(module, math.sqrt(2)), generator=generator)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    policy_head.start()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions only
