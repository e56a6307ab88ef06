"""A network of the user's own: a whole module, with a memory or without."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from a2c.envs.spaces import Spaces
from a2c.errors import ConfigError
from a2c.maths.trees import leaves, tree_map
from a2c.network.heads import distribution_of
from a2c.network.masking import Masking, unmasked_shape
from a2c.network.obs_normalizer import ObsNormalizer, as_float
from a2c.network.own_code import FORWARD, called
from a2c.settings.config import PolicyConfig


class _Own(nn.Module):
    """What both kinds of module have in common.

    Args:
        module: the user's; it gets observations as the environment returns them (images as bytes) or, with
            ``normalize_obs``, standardised; without a mask of legal actions, which is laid over its parameters here.
        spaces: the environment's observation and action space, which determine the distribution.
        name: of the module, for errors; None: that of its class.
        normalize_obs: put an :class:`ObsNormalizer` in front.
        policy: how continuous actions are drawn; None: by a Gaussian whose spread is a parameter.
    """

    def __init__(
        self,
        module: nn.Module,
        spaces: Spaces,
        name: str | None = None,
        *,
        normalize_obs: bool = False,
        policy: PolicyConfig | None = None,
    ) -> None:
        super().__init__()
        self.module, self.spaces, self._name = module, spaces, name or type(module).__name__
        self.distribution = distribution_of(spaces, policy)
        self.masking = Masking(spaces, self.distribution)
        self.normalizer = ObsNormalizer(unmasked_shape(spaces)) if normalize_obs else None

    def describe(self) -> str:
        """For the start panel: ``MyNet, 9,155 weights``."""
        weights = sum(param.numel() for param in self.parameters())
        return f"{type(self.module).__name__}, {weights:,} weights"

    def inputs(self, obs: Any) -> Any:
        """What the module gets: observations without their mask, normalised if the network has a normaliser."""
        obs = self.masking.features(obs) if self.masking.columns else obs
        return obs if self.normalizer is None else self.normalizer(as_float(obs))

    def _called(self, *arguments: Any, by: str = "") -> Any:
        call = getattr(self.module, by) if by else self.module
        return called(call, self._name, f"its {by}" if by else FORWARD, *arguments)

    def _fitting(self, given: Any, rows: tuple[int, ...], *names: str) -> list[Tensor]:
        """What the module gave, if there are as many tensors as names, and each has the shape for that many rows."""
        parts = list(given) if isinstance(given, tuple | list) else [given]
        if len(parts) != len(names) or not all(isinstance(part, Tensor) for part in parts):
            gave = f"{len(parts)} results" if isinstance(given, tuple | list) else f"a {type(given).__name__}"
            raise ConfigError(f"{self._name} gave {gave}; it needs to give tensors: {', '.join(names)}")
        tail = {"parameters": (self.distribution.param_size,), "values": ()}
        fits = [
            name not in tail or part.shape == (*rows, *tail[name]) or (name == "values" and part.shape == (*rows, 1))
            for name, part in zip(names, parts, strict=True)
        ]
        if not all(fits):
            gave = " and ".join(f"{name} of shape {list(part.shape)}" for name, part in zip(names, parts, strict=True))
            letters = ("T", "N") if len(rows) == 2 else ("B",)
            needs = [f"[{', '.join(map(str, (*letters, *tail[name])))}]" for name in names if name in tail]
            raise ConfigError(f"{self._name} gave {gave}; {self.distribution} needs {' and '.join(needs)}")
        return [part.view(rows) if name == "values" else part for name, part in zip(names, parts, strict=True)]


class OwnModule(_Own):
    """Wraps a module whose ``forward(obs)`` gives parameters ``[B, P]`` and values ``[B]`` or ``[B, 1]``.

    :meth:`policy` and :meth:`value` run the whole module and drop one of its results, unless it has methods of these
    names.
    """

    def forward(self, obs: Any) -> tuple[Tensor, Tensor]:
        """Run the module and check the shapes of its results.

        Raises:
            ConfigError: it raised, or they do not fit.
        """
        params, values = self._fitting(self._called(self.inputs(obs)), (rows_of(obs),), "parameters", "values")
        return self.masking.masked(params, obs), values

    def policy(self, obs: Any) -> Tensor:
        """The parameters alone."""
        if not has_method(self.module, "policy"):
            return self.forward(obs)[0]
        (params,) = self._fitting(self._called(self.inputs(obs), by="policy"), (rows_of(obs),), "parameters")
        return self.masking.masked(params, obs)

    def value(self, obs: Any) -> Tensor:
        """The values alone."""
        if not has_method(self.module, "value"):
            return self.forward(obs)[1]
        (values,) = self._fitting(self._called(self.inputs(obs), by="value"), (rows_of(obs),), "values")
        return values


class OwnRecurrentModule(_Own):
    """Wraps a module with a memory: ``initial_memory(rows)`` and ``forward(obs, memory, began)``.

    Both as in :class:`a2c.network.protocol.RecurrentNetwork`. :meth:`policy` and :meth:`value` are a rollout of one
    step, unless the module has methods of these names.
    """

    def initial_memory(self, rows: int) -> Tensor:
        """Zeros ``[rows, S]`` on the network's device."""
        memory = self._called(rows, by="initial_memory")
        if not isinstance(memory, Tensor) or memory.ndim != 2 or len(memory) != rows:
            raise ConfigError(f"{self._name}: initial_memory({rows}) needs to give zeros [{rows}, S]")
        return memory

    def forward(self, obs: Any, memory: Tensor, began: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Go through T steps of N environments; raises as :meth:`OwnModule.forward`."""
        given = self._called(self.inputs(obs), memory, began)
        params, values, after = self._fitting(given, began.shape, "parameters", "values", "memory")
        self._same_size(after, memory)
        return self.masking.masked(params, obs), values, after

    def policy(self, obs: Any, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters ``[B, P]``, and the state ``[B, S]`` that the step leaves."""
        if not has_method(self.module, "policy"):
            params, _, after = self._one_step(obs, memory)
            return params, after
        given = self._called(self.inputs(obs), memory, by="policy")
        params, after = self._fitting(given, (rows_of(obs),), "parameters", "memory")
        self._same_size(after, memory)
        return self.masking.masked(params, obs), after

    def value(self, obs: Any, memory: Tensor) -> Tensor:
        """Values ``[B]``; the state stays as it is."""
        if not has_method(self.module, "value"):
            return self._one_step(obs, memory)[1]
        (values,) = self._fitting(self._called(self.inputs(obs), memory, by="value"), (rows_of(obs),), "values")
        return values

    def _one_step(self, obs: Any, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        began = torch.zeros(1, len(memory), dtype=torch.bool, device=memory.device)
        params, values, after = self.forward(tree_map(lambda part: part.unsqueeze(0), obs), memory, began)
        return params.squeeze(0), values.squeeze(0), after

    def _same_size(self, after: Tensor, memory: Tensor) -> None:
        if after.shape != memory.shape:
            raise ConfigError(
                f"{self._name} left a memory of shape {list(after.shape)}; initial_memory gave {list(memory.shape)}"
            )


def has_method(module: nn.Module, name: str) -> bool:
    """Whether its class has a method of that name: a layer may be called ``value`` too."""
    return callable(getattr(type(module), name, None))


def rows_of(obs: Any) -> int:
    """B of observations ``[B, *obs]``, a tree."""
    return len(leaves(obs)[0])
