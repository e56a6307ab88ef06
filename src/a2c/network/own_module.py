"""A module of a user's own as a network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from a2c.envs.spaces import Spaces
from a2c.errors import ConfigError
from a2c.network.heads import distribution_of


class OwnModule(nn.Module):
    """Wraps a module that has nothing but ``forward(obs) -> (parameters, values)``.

    Acting takes the parameters, and the value of a final observation the values, of the whole pass.

    Args:
        module: ``[B, *obs]`` -> parameters ``[B, P]`` and values ``[B]`` or ``[B, 1]``. Its observations are the
            environment's own numbers, images as bytes.
        spaces: what the environment shows and takes; the distribution follows from them.
    """

    def __init__(self, module: nn.Module, spaces: Spaces) -> None:
        super().__init__()
        self.module, self.spaces = module, spaces
        self.distribution = distribution_of(spaces)
        self.normalizer = None

    def forward(self, obs: Any) -> tuple[Tensor, Tensor]:
        """The module's own pass, checked.

        Raises:
            ConfigError: what it gives has another shape.
        """
        params, values = self.module(obs)
        rows, size = len(params), self.distribution.param_size
        if params.shape != (rows, size) or values.numel() != rows:
            raise ConfigError(
                f"{type(self.module).__name__} gave parameters of shape {list(params.shape)} and values of shape "
                f"{list(values.shape)}; {self.distribution} needs [B, {size}] and [B]"
            )
        return params, values.view(rows)

    def policy(self, obs: Any) -> Tensor:
        """The parameters alone."""
        return self.forward(obs)[0]

    def value(self, obs: Any) -> Tensor:
        """The values alone."""
        return self.forward(obs)[1]

    def describe(self) -> str:
        """For the start panel: ``MyNet, 9,155 weights``."""
        weights = sum(param.numel() for param in self.parameters())
        return f"{type(self.module).__name__}, {weights:,} weights"
