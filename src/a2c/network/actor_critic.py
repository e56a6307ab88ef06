"""The actor-critic network: torso, policy head, value head."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2c.envs.spaces import Spaces
from a2c.errors import ConfigError
from a2c.network.heads import PolicyHead, distribution_of
from a2c.network.masking import Masking, unmasked_shape
from a2c.network.obs_normalizer import ObsNormalizer, as_float
from a2c.network.own_torso import OwnTorso
from a2c.network.torso_choice import Torso, build_torso, describe_torso, shares_torso, torso_kind
from a2c.network.value_normalizer import ValueNormalizer
from a2c.settings.config import NetworkConfig, PolicyConfig


class ActorCritic(nn.Module):
    """Policy parameters and values from observations.

    Args:
        spaces: the environment's observation and action space.
        network: kind and sizes of the torso, and where the policy starts.
        normalize_obs: put an :class:`ObsNormalizer` in front.
        normalize_value: put a :class:`ValueNormalizer` behind the value head.
        seed: determines the initial weights; torch's own generator does so for those that are not orthogonal, and of
            torsos of the user's.
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
        normalize_value: bool = False,
        seed: int = 0,
        precision: str = "float32",
        policy: PolicyConfig | None = None,
    ) -> None:
        super().__init__()
        self.spaces = spaces
        self.precision = precision
        self.kind = kind = torso_kind(spaces, network)
        shared = shares_torso(kind, spaces, network)
        check_apart(kind, shared, network)
        self.normalizer = ObsNormalizer(unmasked_shape(spaces)) if normalize_obs else None
        self.value_normalizer = ValueNormalizer() if normalize_value else None
        self.torso, features = build_torso(kind, spaces, network, normalized=normalize_obs)
        self.value_torso, of_value = None, features
        if not shared:
            self.value_torso, of_value = build_torso(kind, spaces, network, of_value=True, normalized=normalize_obs)
        self.distribution = distribution_of(spaces, policy, features)
        self.masking = Masking(spaces, self.distribution)
        self.policy_head = PolicyHead(features, self.distribution, network.log_std_init)
        self.value_head = nn.Linear(of_value, 1, dtype=torch.float32)
        if network.init == "orthogonal":
            initialize(self, self.policy_head, self.value_head, torch.Generator().manual_seed(seed))
        start(self, self.policy_head)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, *obs]`` -> policy parameters ``[B, P]`` and values ``[B]``, in one pass."""
        inputs = self.inputs(obs)
        features = self._features(self.torso, inputs)
        value_features = features if self.value_torso is None else self._features(self.value_torso, inputs)
        params = self.masking.masked(self.policy_head.forward(features), obs)
        return params, values_of(self.value_head, value_features, self.value_normalizer)

    def policy(self, obs: Tensor) -> Tensor:
        """``[B, *obs]`` -> policy parameters ``[B, P]``, without running the critic."""
        return self.masking.masked(self.policy_head.forward(self._features(self.torso, self.inputs(obs))), obs)

    def value(self, obs: Tensor) -> Tensor:
        """``[B, *obs]`` -> values ``[B]``."""
        torso = self.torso if self.value_torso is None else self.value_torso
        return values_of(self.value_head, self._features(torso, self.inputs(obs)), self.value_normalizer)

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


def features_of(torso: Torso, inputs: Tensor, precision: str) -> Tensor:
    """``[B, *obs]`` -> features ``[B, F]`` in float32, whatever precision the torso computes in."""
    if precision == "float32":  # entering autocast, even when it does nothing, costs as much as a layer
        return torso.forward(inputs)
    with torch.autocast(inputs.device.type, torch.bfloat16):
        return torso.forward(inputs).float()


def values_of(head: nn.Linear, features: Tensor, normalizer: ValueNormalizer | None) -> Tensor:
    """``[B, F]`` -> ``[B]``."""
    values = F.linear(features, head.weight, head.bias).squeeze(-1)
    return values if normalizer is None else normalizer.forward(values)


def check_apart(kind: str, shared: bool, network: NetworkConfig) -> None:
    """Refuse what only an mlp of the value's own can have."""
    of_value = {
        "value_hidden_sizes": network.value_hidden_sizes is not None,
        "layer_norm": network.layer_norm == "critic",
    }
    for key, given in of_value.items():
        if given and (shared or kind != "mlp"):
            why = "policy and value share their torso" if shared else f"the torso is {kind}"
            raise ConfigError(
                f"network.{key}={getattr(network, key)} is of the value's own mlp, but {why}: "
                "network.torso=mlp network.shared_torso=false has one"
            )
    if network.layer_norm == "both" and kind != "mlp":
        raise ConfigError(f"network.layer_norm=both is of the mlp, but the torso is {kind}")


def initialize(model: nn.Module, policy_head: PolicyHead, value_head: nn.Linear, generator: torch.Generator) -> None:
    """Orthogonal weights, zero biases; a near-uniform first policy (Andrychowicz et al. 2021, section 3.2)."""
    gains: dict[nn.Module, float] = {policy_head.linear: 0.01, value_head: 1.0}
    for module in ours(model):
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.orthogonal_(module.weight, gains.get(module, math.sqrt(2)), generator=generator)
            assert module.bias is not None
            nn.init.zeros_(module.bias)


def start(model: nn.Module, policy_head: PolicyHead) -> None:
    """What holds for any initial weights: the policy's spread, and convolutions that lie channels last."""
    policy_head.start()
    for module in ours(model):
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def ours(model: nn.Module) -> Iterator[nn.Module]:
    """The modules in it that are not the user's own: theirs stay as they were made."""
    theirs = {part for own in model.modules() if isinstance(own, OwnTorso) for part in own.modules()}
    return (module for module in model.modules() if module not in theirs)
