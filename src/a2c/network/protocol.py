"""What acting, learning and evaluation need from a network, ours or a user's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeGuard

import torch
from torch import Tensor, nn

from a2c.envs.spaces import Spaces
from a2c.maths.distributions import Distribution
from a2c.network.obs_normalizer import ObsNormalizer


class Module(Protocol):
    """What every network has; a :class:`torch.nn.Module`.

    Attributes:
        spaces: the environment's observation and action space.
        distribution: the action distribution; the policy returns its P parameters.
        normalizer: statistics of observations, which the learner updates once a rollout; None: there are none.
    """

    spaces: Spaces
    distribution: Distribution
    normalizer: ObsNormalizer | None

    def describe(self) -> str:
        """One line for the start panel."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """As in :class:`torch.nn.Module`."""

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """As a module's."""

    def train(self, mode: bool = True) -> Any:
        """As a module's."""

    def to(self, device: Any, /) -> Any:
        """As a module's."""

    def state_dict(self) -> dict[str, Any]:
        """As in :class:`torch.nn.Module`."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """As in :class:`torch.nn.Module`."""


class Network(Module, Protocol):
    """Policy parameters and values from observations ``[B, *obs]``.

    One with a memory, a :class:`RecurrentNetwork`, goes by this type too where only its weights and spaces matter; who
    calls it asks :func:`remembers` first.
    """

    def forward(self, obs: Any) -> tuple[Tensor, Tensor]:
        """``[B, *obs]`` -> policy parameters ``[B, P]`` and values ``[B]``, in one pass."""

    def policy(self, obs: Any) -> Tensor:
        """``[B, *obs]`` -> policy parameters ``[B, P]``."""

    def value(self, obs: Any) -> Tensor:
        """``[B, *obs]`` -> values ``[B]``."""


class RecurrentNetwork(Module, Protocol):
    """A network with a memory: a state ``[B, S]`` for each environment, which the caller keeps from step to step.

    An episode begins with zeros. Acting writes them before it calls :meth:`policy`; :meth:`forward`, which goes through
    many steps, does so itself wherever an episode begins.
    """

    def initial_memory(self, rows: int) -> Tensor:
        """Zeros ``[rows, S]`` on the network's device: the state with which episodes begin."""

    def forward(self, obs: Any, memory: Tensor, began: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Go through T steps of N environments.

        Args:
            obs: ``[T, N, *obs]``.
            memory: ``[N, S]``, the state in which the first step begins.
            began: ``[T, N]`` bool, whether an episode begins with this observation: its step starts from zeros.

        Returns:
            Policy parameters ``[T, N, P]``, values ``[T, N]``, and the state ``[N, S]`` that the last step leaves.
        """

    def policy(self, obs: Any, memory: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, *obs]`` and the state ``[B, S]`` -> policy parameters ``[B, P]`` and the next state ``[B, S]``."""

    def value(self, obs: Any, memory: Tensor) -> Tensor:
        """``[B, *obs]`` and the state ``[B, S]`` -> values ``[B]``; the state stays as it is."""


def remembers(network: Any) -> TypeGuard[RecurrentNetwork]:
    """Whether a network has a memory."""
    return hasattr(network, "initial_memory")


def device_of(network: Network) -> torch.device:
    """The device of the network's weights."""
    return next(network.parameters()).device
