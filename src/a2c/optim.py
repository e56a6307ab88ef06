"""Optimizers, and the weights as one flat vector."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from a2c.config import Config


class RMSpropTF(Optimizer):
    """RMSprop as TensorFlow defines it: epsilon inside the square root, accumulator starting at 1.

        s = alpha * s + (1 - alpha) * g^2;   w = w - lr * g / sqrt(s + eps)

    Peers match published A2C scores only with this form: the start at 1 makes the first steps
    small, and epsilon inside the root bounds them.

    Source: Tieleman & Hinton 2012; Mnih et al. 2016, section 4, eq. S2-S3.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 7e-4, alpha: float = 0.99, eps: float = 1e-5) -> None:
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if closure is not None:
            raise ValueError("RMSpropTF takes no closure: one update per rollout")
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state["square_avg"] = torch.ones_like(param)
                square_avg = state["square_avg"]
                square_avg.mul_(group["alpha"]).addcmul_(param.grad, param.grad, value=1 - group["alpha"])
                param.addcdiv_(param.grad, (square_avg + group["eps"]).sqrt_(), value=-group["lr"])


def make_optimizer(cfg: Config, params: Iterable[Tensor]) -> Optimizer:
    """The optimizer that the config names."""
    if cfg.optimizer == "rmsprop_tf":
        return RMSpropTF(params, cfg.lr, cfg.rmsprop_alpha, cfg.optimizer_eps)
    if cfg.optimizer == "rmsprop":
        return torch.optim.RMSprop(params, cfg.lr, cfg.rmsprop_alpha, cfg.optimizer_eps)
    return torch.optim.Adam(params, cfg.lr, eps=cfg.optimizer_eps)


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
