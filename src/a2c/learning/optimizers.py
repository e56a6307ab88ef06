"""Optimizers of one flat vector of weights.

Each holds its state in tensors that never move, and takes the learning rate at every step as a number or as a scalar
on the device. So a step can be compiled or captured in a CUDA graph, and costs a handful of kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from a2c.network.flat_weights import clip_gradient, gradient_of
from a2c.network.protocol import Network
from a2c.settings.config import Config


class Optimizer(Protocol):
    """Changes a vector of weights by its gradient."""

    state: dict[str, Tensor]  # all that one step leaves to the next

    def clip(self, max_norm: Tensor | float | None) -> Tensor:
        """Clip the gradient, without waiting for the device.

        Args:
            max_norm: of the gradient; None: do not clip.

        Returns:
            Its norm before, a scalar. Where that is finite, so is the square of every number in the gradient.
        """

    def step(self, lr: Tensor | float) -> None:
        """Take one step at a rate for all weights, or one for each ``[W]``, without waiting for the device."""


class UpdateRule(Protocol):
    """How an optimizer moves weights along a gradient."""

    state: dict[str, Tensor]

    def step(self, lr: Tensor | float) -> None:
        """Move the weights."""


class Clipped:
    """Clips the gradient and applies it.

    Args:
        rule: moves the weights.
        weights: ``[W]``, with their gradient.
    """

    def __init__(self, rule: UpdateRule, weights: nn.Parameter) -> None:
        self._rule, self._weights = rule, weights
        self.state = rule.state

    def clip(self, max_norm: Tensor | float | None) -> Tensor:
        """As :meth:`Optimizer.clip`."""
        return clip_gradient(self._weights, max_norm)

    def step(self, lr: Tensor | float) -> None:
        """As :meth:`Optimizer.step`."""
        self._rule.step(lr)


class RMSpropTF:
    """RMSprop as TensorFlow defines it: epsilon inside the square root, accumulator starting at 1.

        s = alpha * s + (1 - alpha) * g^2;   w = w - lr * g / sqrt(s + eps)

    Other implementations match published A2C scores only with this form: the start at 1 makes the first steps small,
    and epsilon inside the root bounds them.

    Source: Tieleman & Hinton 2012; Mnih et al. 2016, section 4, eq. S2-S3.
    """

    def __init__(self, weights: nn.Parameter, alpha: float = 0.99, eps: float = 1e-5) -> None:
        self._weights, self._alpha, self._eps = weights, alpha, eps
        self.state = {"square_avg": torch.ones_like(weights, requires_grad=False)}

    @torch.no_grad()
    def step(self, lr: Tensor | float) -> None:
        gradient, square_avg = gradient_of(self._weights), self.state["square_avg"]
        square_avg.mul_(self._alpha).addcmul_(gradient, gradient, value=1 - self._alpha)
        self._weights.sub_((gradient / (square_avg + self._eps).sqrt_()).mul_(lr))


class RMSprop:
    """RMSprop as PyTorch defines it: epsilon outside the square root, accumulator starting at 0.

    s = alpha * s + (1 - alpha) * g^2;   w = w - lr * g / (sqrt(s) + eps)
    """

    def __init__(self, weights: nn.Parameter, alpha: float = 0.99, eps: float = 1e-8) -> None:
        self._weights, self._alpha, self._eps = weights, alpha, eps
        self.state = {"square_avg": torch.zeros_like(weights, requires_grad=False)}

    @torch.no_grad()
    def step(self, lr: Tensor | float) -> None:
        gradient, square_avg = gradient_of(self._weights), self.state["square_avg"]
        square_avg.mul_(self._alpha).addcmul_(gradient, gradient, value=1 - self._alpha)
        self._weights.sub_((gradient / square_avg.sqrt().add_(self._eps)).mul_(lr))


class Adam:
    """Adam with its published decays, 0.9 and 0.999.

        m = b1 * m + (1 - b1) * g;   v = b2 * v + (1 - b2) * g^2
        w = w - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

    Source: Kingma & Ba 2015, algorithm 1.
    """

    DECAYS = (0.9, 0.999)

    def __init__(self, weights: nn.Parameter, eps: float = 1e-8) -> None:
        self._weights, self._eps = weights, eps
        wide = torch.float32 if weights.device.type == "mps" else torch.float64  # Metal has no float64
        self._decays = torch.tensor(self.DECAYS, dtype=wide, device=weights.device)
        self.state = {
            "exp_avg": torch.zeros_like(weights, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(weights, requires_grad=False),
            "decayed": torch.ones_like(self._decays),  # b1^t, b2^t
        }

    @torch.no_grad()
    def step(self, lr: Tensor | float) -> None:
        gradient, state = gradient_of(self._weights), self.state
        state["exp_avg"].lerp_(gradient, 1 - self.DECAYS[0])
        state["exp_avg_sq"].mul_(self.DECAYS[1]).addcmul_(gradient, gradient, value=1 - self.DECAYS[1])
        mean, mean_square = (1 - state["decayed"].mul_(self._decays)).to(gradient.dtype).unbind()
        root = (state["exp_avg_sq"] / mean_square).sqrt_().add_(self._eps)
        self._weights.sub_((state["exp_avg"] / root).mul_(lr / mean))


def critic_rates(model: Network, weights: nn.Parameter, ratio: float) -> Tensor:
    """What each weight's learning rate is multiplied by, ``[W]``: ``ratio`` where it is of the value alone, else 1.

    Args:
        model: the network.
        weights: its weights as one vector.
        ratio: of the critic's rate to the other.
    """
    own = [getattr(model, part, None) for part in ("value_torso", "value_head")]
    critic = {id(param) for part in own if isinstance(part, nn.Module) for param in part.parameters()}
    rates = torch.ones_like(weights, requires_grad=False)
    begin = 0
    for param in model.parameters():
        if id(param) in critic:
            rates[begin : begin + param.numel()] = ratio
        begin += param.numel()
    return rates


def make_optimizer(cfg: Config, weights: nn.Parameter) -> Optimizer:
    """The optimizer that ``cfg.optimizer`` names, with gradient clipping.

    Args:
        cfg: the settings.
        weights: ``[W]``, with their gradient allocated (:func:`a2c.network.flat_weights.flatten_parameters`).
    """
    rules: dict[str, Callable[[], UpdateRule]] = {
        "rmsprop_tf": lambda: RMSpropTF(weights, cfg.rmsprop_alpha, cfg.optimizer_eps),
        "rmsprop": lambda: RMSprop(weights, cfg.rmsprop_alpha, cfg.optimizer_eps),
        "adam": lambda: Adam(weights, cfg.optimizer_eps),
    }
    return Clipped(rules[cfg.optimizer](), weights)
