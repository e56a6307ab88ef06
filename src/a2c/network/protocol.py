"""What acting, learning and evaluation need from a network, ours or a user's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from a2c.envs.spaces import Spaces
from a2c.maths.distributions import Distribution
from a2c.network.obs_normalizer import ObsNormalizer


class Network(Protocol):
    """Policy parameters and values from observations ``[B, *obs]``; a :class:`torch.nn.Module`.

    Attributes:
        spaces: the environment's observation and action space.
        distribution: the action distribution; the policy returns its P parameters.
        normalizer: statistics of observations, which the learner updates once a rollout; None: there are none.
    """

    spaces: Spaces
    distribution: Distribution
    normalizer: ObsNormalizer | None

    def forward(self, obs: Any) -> tuple[Tensor, Tensor]:
        """``[B, *obs]`` -> policy parameters ``[B, P]`` and values ``[B]``, in one pass."""

    def policy(self, obs: Any) -> Tensor:
        """``[B, *obs]`` -> policy parameters ``[B, P]``."""

    def value(self, obs: Any) -> Tensor:
        """``[B, *obs]`` -> values ``[B]``."""

    def describe(self) -> str:
        """One line for the start panel."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """As in :class:`torch.nn.Module`."""

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """As a module's."""

    def train(self, mode: bool = True) -> Any:
        """As a module's."""

    def state_dict(self) -> dict[str, Any]:
        """As in :class:`torch.nn.Module`."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """As in :class:`torch.nn.Module`."""


def device_of(network: Network) -> torch.device:
    """The device of the network's weights."""
    return next(network.parameters()).device
