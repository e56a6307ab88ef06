"""Batches cut out of rollouts, and their gradients: by the update that trains, and by autograd."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from a2c.learning.learner import Learner
from a2c.maths.losses import actor_critic_loss, standardize
from a2c.maths.returns import lambda_returns, successor_values
from a2c.maths.trees import single
from a2c.network.actor_critic import ActorCritic
from a2c.network.flat_weights import gradient_of
from a2c.network.protocol import Network
from a2c.rollout import Rollout, rebuilt
from a2c.settings.config import Config
from a2c.trainer import training

Floats = NDArray[np.floating[Any]]
Gradient = Callable[[Rollout], Floats]  # a batch -> the flat gradient [W] of the loss, in the order of the parameters


def trained(cfg: Config) -> ActorCritic:
    """The network after ``cfg.total_steps`` of ordinary training, without a run folder."""
    *_, (_, learner, _) = training(cfg)
    assert isinstance(learner.model, ActorCritic)
    return learner.model


def by_learner(model: Network, cfg: Config) -> Gradient:
    """The gradient that an update computes, clipped as ``cfg`` says, by the passes that train.

    The weights do not move: the learning rate is 0.

    Args:
        model: copied. It must not normalise observations, since the normaliser would learn from every batch.
        cfg: settings of the loss and of clipping.
    """
    learner = Learner(copy.deepcopy(model), replace(cfg, lr=0.0))

    def gradient(batch: Rollout) -> Floats:
        learner.update(batch, env_steps=0)
        return gradient_of(learner.weights).numpy().copy()  # the next update overwrites it

    return gradient


def by_autograd(model: Network, cfg: Config) -> Gradient:
    """The gradient of :func:`a2c.maths.losses.actor_critic_loss`, by autograd: the definition, unclipped."""
    model = copy.deepcopy(model)
    weights = list(model.parameters())

    def gradient(batch: Rollout) -> Floats:
        steps, count = batch.rewards.shape
        params, values = model.forward(single(batch.obs).flatten(0, 1))
        params, values = params.view(steps + 1, count, -1)[:-1], values.view(steps + 1, count)
        log_probs, entropies = model.distribution.log_prob_entropy(params, batch.actions)
        following = successor_values(values[1:], batch.final_values, batch.terminated, batch.truncated)
        done = batch.terminated | batch.truncated
        returns = lambda_returns(batch.rewards, following, done, cfg.gamma, cfg.gae_lambda)
        advantages = (returns - values[:-1]).detach()
        if cfg.normalize_advantage:
            advantages = standardize(advantages, batch.weight)
        losses = actor_critic_loss(
            log_probs,
            entropies,
            values[:-1],
            returns,
            advantages,
            value_coef=cfg.value_coef,
            beta=cfg.beta,
            weight=batch.weight,
        )
        parts = torch.autograd.grad(losses.loss, weights)
        return torch.cat([part.flatten() for part in parts]).numpy()

    return gradient


def one_step(rollout: Rollout) -> Rollout:
    """The T N transitions of a rollout side by side, ``[1, T N]``, each bootstrapped from its own successor.

    Column t N + i is step t of environment i. A truncated episode keeps its final value: V at that time.
    """
    flat = rebuilt(lambda part: part.flatten(0, 1).unsqueeze(0), rollout)
    flat.obs = torch.stack([single(rollout.obs)[:-1].flatten(0, 1), single(rollout.obs)[1:].flatten(0, 1)])
    return flat


def joined(*rollouts: Rollout) -> Rollout:
    """Rollouts of the same T side by side, ``[T, N1 + N2 + ...]``, in new memory; none may have gaps."""
    return rebuilt(lambda *parts: torch.cat(parts, dim=1), *rollouts)


def cast(rollout: Rollout, dtype: torch.dtype) -> Rollout:
    """The rollout in another floating-point precision."""
    return rebuilt(lambda part: part.to(dtype) if part.is_floating_point() else part, rollout)
