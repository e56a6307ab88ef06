"""Optimizers of one flat vector of weights, and the weights as that vector.

Each holds its state in tensors that stay where they are and takes the learning rate at every step, as a number or as
a scalar on the device: so that a step can be compiled, or captured in a CUDA graph, and costs a handful of kernels.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from a2c.config import Config


class Optimizer(Protocol):
    """Changes a vector of weights by its gradient."""

    state: dict[str, Tensor]  # all that one step leaves to the next

    def step(self, lr: Tensor | float) -> None:
        """Take one step, without waiting for the device."""


class RMSpropTF:
    """RMSprop as TensorFlow defines it: epsilon inside the square root, accumulator starting at 1.

        s = alpha * s + (1 - alpha) * g^2;   w = w - lr * g / sqrt(s + eps)

    Peers match published A2C scores only with this form: the start at 1 makes the first steps
    small, and epsilon inside the root bounds them.

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


def make_optimizer(cfg: Config, weights: nn.Parameter) -> Optimizer:
    """The optimizer that the config names."""
    if cfg.optimizer == "rmsprop_tf":
        return RMSpropTF(weights, cfg.rmsprop_alpha, cfg.optimizer_eps)
    if cfg.optimizer == "rmsprop":
        return RMSprop(weights, cfg.rmsprop_alpha, cfg.optimizer_eps)
    return Adam(weights, cfg.optimizer_eps)


def gradient_of(weights: nn.Parameter) -> Tensor:
    """The gradient, which :func:`flatten_parameters` has allocated."""
    assert weights.grad is not None
    return weights.grad


def flatten_parameters(model: nn.Module) -> nn.Parameter:
    """Make every parameter of ``model``, and its gradient, a view of one flat vector.

    One norm, one optimizer kernel and one copy serve the whole network. Call it once the model
    is on its device; moving it afterwards would break the views.

    Returns:
        The vector ``[W]``, with its gradient allocated.
    """
    params = list(model.parameters())
    flat = nn.Parameter(params[0].new_empty(sum(param.numel() for param in params)))
    flat.grad = torch.zeros_like(flat)
    offset = 0
    for param in params:
        # Strides too: convolutions lie channels last.
        layout = (param.size(), param.stride(), offset)
        param.data = flat.data.as_strided(*layout).copy_(param.data)
        param.grad = flat.grad.as_strided(*layout)
        offset += param.numel()
    return flat


def clip_gradient(flat: nn.Parameter, max_norm: float | None) -> Tensor:
    """Scale the gradient of :func:`flatten_parameters` to a norm of at most ``max_norm``.

    A gradient that is not finite becomes zero, so that it never reaches the weights; its norm
    still says so, and the run stops where metrics are next read.

    Returns:
        The norm before clipping, a scalar on the device; nothing waits for it.
    """
    assert flat.grad is not None
    norm: Tensor = torch.linalg.vector_norm(flat.grad)
    scale = torch.ones_like(norm) if max_norm is None else (max_norm / (norm + 1e-6)).clamp_(max=1.0)
    # Without a condition, which would cost a pass of its own: 0 x finite is 0, whatever the norm was.
    scale.mul_(norm - norm + 1).nan_to_num_(nan=0.0)
    flat.grad.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0).mul_(scale)
    return norm
