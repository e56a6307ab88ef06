"""Gradients of log-probability and entropy with respect to the parameters, in closed form or by autograd."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from a2c.maths.distributions.distribution import Distribution

# d_log_prob [*], d_entropy [*] or a number -> d_params [*, P]
Pullback = Callable[[Tensor, Tensor | float], Tensor]

LogProbEntropyPullback = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Pullback]]


def pullback_of(distribution: Distribution) -> LogProbEntropyPullback:
    """A function like ``log_prob_entropy`` that also returns a pullback of both gradients to the parameters.

    A distribution may have its own ``log_prob_entropy_pullback`` in closed form: at the sizes of a rollout, autograd's
    bookkeeping costs several times the arithmetic. For all others autograd does it.

    Returns:
        A function of parameters ``[*, P]`` and actions. It returns the log-probability ``[*]`` and the entropy ``[*]``,
        both without a graph, and the pullback, which turns their gradients (that of the entropy may be one number for
        all) into the gradient of the parameters ``[*, P]``.
    """
    own: LogProbEntropyPullback | None = getattr(distribution, "log_prob_entropy_pullback", None)
    return partial(_by_autograd, distribution) if own is None else own


def _by_autograd(distribution: Distribution, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Pullback]:
    with torch.enable_grad():
        inputs = params.detach().requires_grad_()
        log_prob, entropy = distribution.log_prob_entropy(inputs, actions)

    def pullback(d_log_prob: Tensor, d_entropy: Tensor | float) -> Tensor:
        d_entropy = torch.as_tensor(d_entropy, dtype=entropy.dtype, device=entropy.device).expand_as(entropy)
        pairs = [(out, d_out) for out, d_out in ((log_prob, d_log_prob), (entropy, d_entropy)) if out.requires_grad]
        outs, d_outs = zip(*pairs, strict=True)  # the entropy may not depend on the parameters
        (d_params,) = torch.autograd.grad(outs, inputs, d_outs)
        return d_params

    return log_prob.detach(), entropy.detach(), pullback


def columns(d_log_prob: Tensor, d_entropy: Tensor | float) -> tuple[Tensor, Tensor | float]:
    """Gradients ``[*]`` as ``[*, 1]``, to multiply rows of parameters; a number stays one."""
    return d_log_prob.unsqueeze(-1), d_entropy.unsqueeze(-1) if isinstance(d_entropy, Tensor) else d_entropy
