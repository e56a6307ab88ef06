"""A user's own module as a network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from a2c.envs.spaces import Spaces
from a2c.errors import ConfigError
from a2c.network.heads import distribution_of
from a2c.network.masking import Masking


class OwnModule(nn.Module):
    """Wraps a module that has nothing but ``forward(obs) -> (parameters, values)``.

    :meth:`policy` and :meth:`value` both run the whole module and drop one of its results.

    Args:
        module: ``[B, *obs]`` -> parameters ``[B, P]`` and values ``[B]`` or ``[B, 1]``. It gets the
            observations as the environment returns them, images as bytes, without a mask of legal actions.
        spaces: the environment's observation and action space, which determine the distribution.
    """

    def __init__(self, module: nn.Module, spaces: Spaces) -> None:
        super().__init__()
        self.module, self.spaces = module, spaces
        self.distribution = distribution_of(spaces)
        self.normalizer, self._masking = None, Masking(spaces)

    def forward(self, obs: Any) -> tuple[Tensor, Tensor]:
        """Run the module and check the shapes of its results.

        Raises:
            ConfigError: they do not fit.
        """
        params, values = self.module(self._masking.features(obs) if self._masking.columns else obs)
        rows, size = len(params), self.distribution.param_size
        if params.shape != (rows, size) or values.numel() != rows:
            raise ConfigError(
                f"{type(self.module).__name__} gave parameters of shape {list(params.shape)} and values of shape "
                f"{list(values.shape)}; {self.distribution} needs [B, {size}] and [B]"
            )
        return self._masking.masked(params, obs), values.view(rows)

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
