"""The actor-critic loss: pure functions of one forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Losses:
    """The terms of the loss, each a scalar on the learner's device."""

    loss: Tensor  # policy_loss + value_coef * value_loss - beta * entropy
    policy_loss: Tensor
    value_loss: Tensor
    entropy: Tensor


@dataclass(frozen=True, slots=True)
class LossSums:
    """The terms of the loss as sums over transitions, and the number of transitions; each a scalar.

    To combine the parts of a batch, add their sums and counts and divide once: a mean of means is wrong as soon as the
    counts differ.
    """

    policy: Tensor
    value: Tensor
    entropy: Tensor
    count: Tensor

    def __add__(self, other: LossSums) -> LossSums:
        return LossSums(
            self.policy + other.policy,
            self.value + other.value,
            self.entropy + other.entropy,
            self.count + other.count,
        )

    def means(self, *, value_coef: float = 0.5, beta: float = 0.01) -> Losses:
        """The loss, and its terms as means; 0 where there are no transitions."""
        count = self.count.clamp(min=1)
        policy_loss, value_loss, entropy = self.policy / count, self.value / count, self.entropy / count
        return Losses(policy_loss + value_coef * value_loss - beta * entropy, policy_loss, value_loss, entropy)


def actor_critic_loss(
    log_probs: Tensor,
    entropies: Tensor,
    values: Tensor,
    returns: Tensor,
    advantages: Tensor,
    *,
    value_coef: float = 0.5,
    beta: float = 0.01,
    weight: Tensor | None = None,
    huber: bool = False,
    scale: Tensor | None = None,
) -> Losses:
    """The A2C loss over the transitions of a rollout.

        L = L_policy + value_coef * L_value - beta * H
        L_policy = -mean(log pi(a|s) * A)      L_value = mean((G - V)^2)      H = mean entropy

    ``value_coef = 0.5`` is the 1/2 of the article, and the only 1/2 in the loss. ``huber`` and ``scale`` change L_value
    (:func:`value_losses`). No gradient flows through ``returns`` or ``advantages``.

    Args:
        log_probs: ``[T, N]``, log pi(a|s) of the actions taken, summed over action dimensions.
        entropies: ``[T, N]``, entropy of pi(.|s), in nats.
        values: ``[T, N]``, V(s).
        returns: ``[T, N]``, the target G.
        advantages: ``[T, N]``, G - V, standardised or not.
        value_coef, beta: weights of the value loss and of the entropy.
        weight: ``[T, N]``, 1 for a transition, 0 for a row that is none; None: every row counts.
        huber: beyond a residual of 1 the value loss grows in a line (:func:`value_losses`).
        scale: scalar, the deviation of returns, by which residuals G - V are divided; None: 1.

    Returns:
        ``loss``, and its terms ``policy_loss``, ``value_loss`` and ``entropy``, each a scalar.

    Raises:
        ValueError: the shapes differ (broadcasting here would silently average the wrong thing).

    Source: Mnih et al. 2016 (A3C), section 4.
    """
    sums = loss_sums(log_probs, entropies, values, returns, advantages, weight=weight, huber=huber, scale=scale)
    return sums.means(value_coef=value_coef, beta=beta)


def loss_sums(
    log_probs: Tensor,
    entropies: Tensor,
    values: Tensor,
    returns: Tensor,
    advantages: Tensor,
    *,
    weight: Tensor | None = None,
    huber: bool = False,
    scale: Tensor | None = None,
) -> LossSums:
    """The terms of :func:`actor_critic_loss` as sums, and the count of transitions.

    Args and Raises: as for :func:`actor_critic_loss`.
    """
    others = {"entropies": entropies, "values": values, "returns": returns, "advantages": advantages, "weight": weight}
    for name, tensor in others.items():
        if tensor is not None and tensor.shape != log_probs.shape:
            raise ValueError(f"{name} has shape {list(tensor.shape)}; log_probs has {list(log_probs.shape)}")
    policy, value = -(log_probs * advantages.detach()), value_losses(returns.detach() - values, huber, scale)
    if weight is None:
        return LossSums(policy.sum(), value.sum(), entropies.sum(), values.new_tensor(float(values.numel())))
    return LossSums((policy * weight).sum(), (value * weight).sum(), (entropies * weight).sum(), weight.sum())


def value_losses(residuals: Tensor, huber: bool = False, scale: Tensor | None = None) -> Tensor:
    """Loss of the value for each residual e = G - V, same shape.

        e^2                                  the mean square
        e^2 where |e| <= 1, else 2 |e| - 1   with ``huber``: the same within 1, and a gradient of at most 2 beyond

    Args:
        residuals: any shape.
        huber: bound the gradient.
        scale: scalar, the deviation of returns: e is then (G - V) / scale (van Hasselt et al. 2016). None: 1.

    Source: Huber 1964, twice: ``value_coef`` means the same for both.
    """
    errors = residuals if scale is None else residuals / scale
    if not huber:
        return errors.square()
    size = errors.abs()
    return torch.where(size <= 1, errors.square(), 2 * size - 1)


def loss_gradients(
    values: Tensor,
    returns: Tensor,
    advantages: Tensor,
    *,
    value_coef: Tensor | float = 0.5,
    beta: Tensor | float = 0.01,
    weight: Tensor | None = None,
    count: Tensor | float | None = None,
    huber: bool = False,
    scale: Tensor | None = None,
) -> tuple[Tensor, Tensor | float, Tensor]:
    """Gradients of the loss of :func:`actor_critic_loss` with respect to its inputs, in closed form.

        dL / d log pi(a|s) = -A w      dL / dH = -beta w      dL / dV = 2 value_coef (V - G) w

    with w = 1 / count, and 0 in rows that are no transition. With ``scale`` it is (V - G) / scale^2 instead of V - G,
    with ``huber`` that difference, in the units of the scale, is cut at -1 and 1.

    Args:
        values, returns, advantages, value_coef, beta, weight, huber, scale: as for :func:`actor_critic_loss`.
        count: number of transitions that the loss is a mean over; None: those of this rollout. 1 gives the gradients
            of the sums: add those of several parts of a batch, then divide by the count of all.

    Returns:
        Gradients of log-probabilities ``[T, N]``, of entropies (``[T, N]``, or one number for all), and of values
        ``[T, N]``.
    """
    errors = values - returns
    if scale is not None:
        errors.div_(scale)
    if huber:
        errors.clamp_(-1, 1)
    if scale is not None:
        errors.div_(scale)
    if weight is None:
        share = 1.0 / (values.numel() if count is None else count)
        return advantages * -share, beta * -share, errors.mul_(2 * value_coef * share)
    shares = weight / (weight.sum().clamp(min=1) if count is None else count)
    d_values = errors.mul_(2 * value_coef) * shares
    return -advantages * shares, shares * -beta, d_values


def mean(x: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the valid transitions: a scalar; 0 where none is valid.

    Args:
        x: any shape.
        weight: same shape, 0 or 1; None: every element counts.
    """
    if weight is None:
        return x.mean()
    return (x * weight).sum() / weight.sum().clamp(min=1)


def variance(x: Tensor, weight: Tensor | None = None) -> Tensor:
    """Population variance over the valid transitions: a scalar."""
    if weight is None:
        return x.var(correction=0)
    return mean((x - mean(x, weight)).square(), weight)


def standardize(advantages: Tensor, weight: Tensor | None = None, eps: float = 1e-8) -> Tensor:
    """Advantages with mean 0 and standard deviation 1 over the valid transitions, same shape."""
    return standardize_by(advantages, mean(advantages, weight), variance(advantages, weight), eps)


def standardize_by(advantages: Tensor, center: Tensor, spread: Tensor, eps: float = 1e-8) -> Tensor:
    """Advantages less their mean, by their deviation, from mean and variance (scalars): same shape."""
    return (advantages - center) / (spread.sqrt() + eps)
