"""The weights of a network as one flat vector, and their gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from a2c.network.protocol import Network


def gradient_of(weights: Tensor) -> Tensor:
    """The gradient of the weights, which :func:`flatten_parameters` allocated."""
    assert weights.grad is not None
    return weights.grad


def flatten_parameters(model: Network | nn.Module) -> nn.Parameter:
    """Make every parameter of ``model``, and its gradient, a view of one flat vector.

    One norm, one optimizer kernel and one copy then serve the whole network. Call this when the model is on its
    device; moving it afterwards would break the views.

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


def clip_gradient(flat: nn.Parameter, max_norm: Tensor | float | None) -> Tensor:
    """Scale the gradient of :func:`flatten_parameters` to a norm of at most ``max_norm``.

    Args:
        flat: ``[W]``, with its gradient.
        max_norm: None: do not clip.

    Returns:
        The norm before clipping, a scalar on the device; nothing waits for it. Where it is not finite, the gradient
        means nothing, and the learner takes no step (:mod:`a2c.learning.soundness`).
    """
    assert flat.grad is not None
    norm: Tensor = torch.linalg.vector_norm(flat.grad)
    if max_norm is not None:
        flat.grad.mul_((max_norm / (norm + 1e-6)).clamp_(max=1.0))
    return norm
