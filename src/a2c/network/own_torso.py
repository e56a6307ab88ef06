"""A torso or an encoder of the user's own, by its name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from a2c.errors import ConfigError
from a2c.network.own_code import CONSTRUCTOR, FORWARD, a_module, called, found

TRIED = 2  # observations of the pass that shows how many features there are


class OwnTorso(nn.Module):
    """Wraps a module of the user's that makes features of observations, and names it where it does not fit.

    It is made with the shape of one observation; lazy layers find theirs in a trial pass. Its initial weights are its
    own affair, but drawn under the seed of the run (:func:`a2c.network.making.make_network`).

    Args:
        setting: that names it, like ``network.torso``.
        name: like ``my_package.nets:MyTorso``, a class or a function.
        shape: of one observation.
        dtype: of observations.

    Attributes:
        name: the setting with the name.
        title: the name without its module, for the start panel.
        features: F.

    Raises:
        ConfigError: it cannot be imported or made, or gives no features ``[B, F]``.
    """

    def __init__(self, setting: str, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        super().__init__()
        self.name, self.title = f"{setting}={name}", name.rpartition(":")[2]
        self.module = a_module(called(found(setting, name), self.name, CONSTRUCTOR, shape), self.name)
        self.features = self._tried(torch.zeros(TRIED, *shape, dtype=dtype))

    def forward(self, obs: Tensor) -> Tensor:
        """``[B, *obs]`` -> ``[B, F]``.

        Raises:
            ConfigError: the module raised, or gave another shape than at first.
        """
        features: Tensor = called(self.module, self.name, FORWARD, obs)
        if features.shape != (len(obs), self.features):
            raise self._does_not_fit(features, obs)
        return features

    def weights_for(self, dtype: torch.dtype) -> list[Tensor]:
        """Its weights; the dtype of observations does not matter."""
        return list(self.parameters())

    def run(self, obs: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """:meth:`forward`, always with weights of its own."""
        return self.forward(obs)

    def _tried(self, obs: Tensor) -> int:
        self.module.train(False)  # batch statistics see no trial
        with torch.no_grad():
            features = called(self.module, self.name, FORWARD, obs)
        self.module.train(True)
        fits = isinstance(features, Tensor) and features.ndim == 2 and len(features) == len(obs)
        if not fits or features.dtype != torch.float32 or not features.shape[1]:
            raise self._does_not_fit(features, obs)
        a_module(self.module, self.name)  # lazy layers have their weights by now
        return int(features.shape[1])

    def _does_not_fit(self, features: object, obs: Tensor) -> ConfigError:
        gave = f"a {type(features).__name__}"
        if isinstance(features, Tensor):
            gave = f"{list(features.shape)} {str(features.dtype).removeprefix('torch.')}"
        needs = f"[{len(obs)}, {getattr(self, 'features', 'F')}] float32"
        return ConfigError(f"{self.name} made {gave} of observations {list(obs.shape)}; it needs to make {needs}")
