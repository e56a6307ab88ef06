"""The actor-critic network with a memory: torso, memory, policy head, value head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from a2c.envs.spaces import Spaces
from a2c.network import memory as memories
from a2c.network.actor_critic import check_apart, features_of, initialize, start, values_of
from a2c.network.heads import PolicyHead, distribution_of
from a2c.network.masking import Masking, unmasked_shape
from a2c.network.obs_normalizer import ObsNormalizer, as_float
from a2c.network.torso_choice import build_torso, describe_torso, torso_kind
from a2c.network.value_normalizer import ValueNormalizer
from a2c.settings.config import NetworkConfig, PolicyConfig


class RecurrentActorCritic(nn.Module):
    """Policy parameters and values from observations and a memory: one torso, one memory, then both heads.

    Args:
        spaces: the environment's observation and action space.
        network: kind and sizes of torso and memory, and where the policy starts.
        normalize_obs, normalize_value, seed: as for :class:`a2c.network.actor_critic.ActorCritic`.
        precision: ``bf16`` computes the torso in bfloat16 (autocast); memory and heads stay float32.
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
        assert network.memory is not None
        self.spaces, self.precision = spaces, precision
        self.kind, self.memory_kind = torso_kind(spaces, network), network.memory
        self.normalizer = ObsNormalizer(unmasked_shape(spaces)) if normalize_obs else None
        self.value_normalizer = ValueNormalizer() if normalize_value else None
        self.torso, features = build_torso(self.kind, spaces, network, normalized=normalize_obs)
        check_apart(self.kind, True, network)
        self.memory = memories.CELLS[network.memory](features, network.memory_size, dtype=torch.float32)
        self.distribution = distribution_of(spaces, policy, network.memory_size)
        self.masking = Masking(spaces, self.distribution)
        self.policy_head = PolicyHead(network.memory_size, self.distribution, network.log_std_init)
        self.value_head = nn.Linear(network.memory_size, 1, dtype=torch.float32)
        if network.init == "orthogonal":
            generator = torch.Generator().manual_seed(seed)
            initialize(self, self.policy_head, self.value_head, generator)
            memories.initialize(self.memory, generator)
        start(self, self.policy_head)

    def initial_memory(self, rows: int) -> Tensor:
        """Zeros ``[rows, S]`` on the network's device."""
        return self.value_head.weight.new_zeros(rows, self.memory.state_size)

    def forward(self, obs: Tensor, memory: Tensor, began: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """T steps of N environments, as :meth:`a2c.network.protocol.RecurrentNetwork.forward`.

        Only the memory goes step by step; torso and heads run on all rows at once.
        """
        steps, count = began.shape
        features = self.features(obs.flatten(0, 1)).view(steps, count, -1)
        states = memories.unrolled(self.memory, features, memory, began)
        shown = self.memory.shown(states)
        params = self.masking.masked(self.policy_head.forward(shown), obs)
        return params, values_of(self.value_head, shown, self.value_normalizer), states[-1]

    def policy(self, obs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, *obs]`` and the state ``[B, S]`` -> policy parameters ``[B, P]`` and the next state ``[B, S]``."""
        after = self.memory.advance(self.features(obs), memory)
        return self.masking.masked(self.policy_head.forward(self.memory.shown(after)), obs), after

    def value(self, obs: Tensor, memory: Tensor) -> Tensor:
        """``[B, *obs]`` and the state ``[B, S]`` -> values ``[B]``; the state stays as it is."""
        after = self.memory.advance(self.features(obs), memory)
        return values_of(self.value_head, self.memory.shown(after), self.value_normalizer)

    def describe(self) -> str:
        """For the start panel: ``mlp, lstm of 64, 45,123 weights``."""
        weights = sum(param.numel() for param in self.parameters())
        memory = f"{self.memory_kind} of {self.memory.hidden_size}"
        return f"{describe_torso(self.kind, self.torso)}, {memory}, {weights:,} weights"

    def inputs(self, obs: Tensor) -> Tensor:
        """The input of the torso: observations without their mask, normalised if the network has a normaliser."""
        obs = self.masking.features(obs)
        return obs if self.normalizer is None else self.normalizer(as_float(obs))

    def features(self, obs: Tensor) -> Tensor:
        """``[B, *obs]`` -> the input of the memory ``[B, F]``."""
        return features_of(self.torso, self.inputs(obs), self.precision)
