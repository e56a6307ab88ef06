"""From features to the parameters of the action distribution."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from a2c.envs.converting.actions import BINARY, DISCRETE, columns_of
from a2c.envs.spaces import Spaces
from a2c.errors import ConfigError
from a2c.maths.distributions import (
    GSDE,
    Bernoullis,
    Betas,
    Categorical,
    Categoricals,
    DiagonalGaussian,
    Distribution,
    Joint,
    SquashedGaussian,
)
from a2c.settings.config import PolicyConfig


def distribution_of(spaces: Spaces, policy: PolicyConfig | None = None, features: int = 0) -> Distribution:
    """The action distribution for an environment's action space.

    Args:
        spaces: of the environment.
        policy: how continuous actions are drawn; None: by a Gaussian whose spread is the same in every state.
        features: F, of the state; only gSDE asks.

    Raises:
        ConfigError: the actions have no bounds, or several parts, and the distribution needs it otherwise.
    """
    if not spaces.parts:
        if spaces.discrete:
            return Categorical(spaces.actions)
        return _continuous(spaces.low, spaces.high, spaces.actions, policy, features)
    parts: list[Distribution] = []
    begin = 0
    for kind, sizes in spaces.parts:
        end = begin + columns_of((kind, sizes))
        low, high = spaces.low[begin:end], spaces.high[begin:end]
        begin = end
        if kind == DISCRETE:
            parts.append(Categoricals(sizes))
        elif kind == BINARY:
            parts.append(Bernoullis(sizes[0]))
        else:
            parts.append(_continuous(low, high, sizes[0], policy, features))
    if len(parts) == 1:
        return parts[0]
    if any(isinstance(part, GSDE) for part in parts):
        raise ConfigError(
            "policy.distribution=gsde takes actions that are one Box; gaussian, squashed and beta take any"
        )
    return Joint(tuple(parts))


def _continuous(
    low: tuple[float, ...], high: tuple[float, ...], size: int, policy: PolicyConfig | None, features: int
) -> Distribution:
    name = "gaussian" if policy is None else policy.distribution
    state_dependent = policy is not None and policy.state_dependent_std
    widths = [above - below for below, above in zip(low, high, strict=True)]
    if name in ("squashed", "beta") and not all(0 < width < math.inf for width in widths):
        raise ConfigError(
            f"policy.distribution={name} needs actions with bounds, but they lie in {list(low)} to {list(high)}; "
            "policy.distribution=gaussian needs none"
        )
    if name == "squashed":
        return SquashedGaussian(size, sum(math.log(width / 2) for width in widths), state_dependent)
    if name == "beta":
        return Betas(size, sum(math.log(width) for width in widths))
    return GSDE(size, features) if name == "gsde" else DiagonalGaussian(size, state_dependent)


class PolicyHead(nn.Module):
    """Features -> parameters of the action distribution.

    Args:
        features: F.
        distribution: of P parameters.
        log_std_init: initial log standard deviation, which is learned.
    """

    def __init__(self, features: int, distribution: Distribution, log_std_init: float) -> None:
        super().__init__()
        free = distribution.free_size
        # gSDE's parameters hold the features; its spread is a sum over them.
        self._latent = isinstance(distribution, GSDE)
        computed = distribution.param_size - free - (features if self._latent else 0)
        if self._latent:
            log_std_init -= 0.5 * math.log(features)
        state_dependent = getattr(distribution, "state_dependent", False)
        self._log_std_start = (computed // 2, log_std_init) if state_dependent else None
        self.linear = nn.Linear(features, computed, dtype=torch.float32)
        self.log_std = nn.Parameter(torch.full((free,), log_std_init, dtype=torch.float32)) if free else None

    def forward(self, features: Tensor) -> Tensor:
        """``[B, F]`` -> ``[B, P]``: logits, or mean and log standard deviation."""
        out = F.linear(features, self.linear.weight, self.linear.bias)
        return self.with_spread(torch.cat([out, features], -1) if self._latent else out)

    @torch.no_grad()
    def start(self) -> None:
        """Begin with the initial spread, where it is computed from the state."""
        if self._log_std_start is not None:
            size, log_std = self._log_std_start
            self.linear.bias[size:] = log_std

    def with_spread(self, out: Tensor) -> Tensor:
        """Append the log standard deviations, if there are any, to the output of the linear layer."""
        return out if self.log_std is None else torch.cat([out, self.log_std.expand(*out.shape[:-1], -1)], -1)
