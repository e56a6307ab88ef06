"""A2C written the slow, obvious way: one transition at a time, torch.distributions, sums by definition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, Normal

from a2c.network.actor_critic import ActorCritic
from a2c.rollout import Rollout
from a2c.settings.config import Config


class Transition(NamedTuple):
    obs: Tensor
    action: Tensor
    reward: float
    terminated: bool
    truncated: bool
    successor: Tensor  # the observation that followed: the true final one where the episode ended


Stream = Sequence[Transition]  # what one environment went through, in order, nothing left out


class Naive(NamedTuple):
    returns: list[list[float]]  # by stream and transition
    advantages: list[list[float]]
    loss: float
    policy_loss: float
    value_loss: float
    entropy: float
    gradient: Tensor  # flat, in the order of model.parameters()


def naive_a2c(model: ActorCritic, streams: Sequence[Stream], cfg: Config) -> Naive:
    """Losses and gradient of what N environments went through during one rollout."""
    with torch.no_grad():
        advantages = [[advantage(model, stream[k:], cfg) for k in range(len(stream))] for stream in streams]
        returns = [
            [a + float(value(model, step.obs)) for a, step in zip(row, stream, strict=True)]
            for row, stream in zip(advantages, streams, strict=True)
        ]
    count = sum(map(len, streams))
    scaled = advantages
    if cfg.normalize_advantage:
        flat = [a for row in advantages for a in row]
        mean = sum(flat) / count
        std = (sum((a - mean) ** 2 for a in flat) / count) ** 0.5
        scaled = [[(a - mean) / (std + 1e-8) for a in row] for row in advantages]

    policy_loss = value_loss = entropy = torch.zeros(())
    for i, stream in enumerate(streams):
        for k, step in enumerate(stream):
            pi = policy(model, step.obs)
            policy_loss = policy_loss - pi.log_prob(step.action) * scaled[i][k] / count
            value_loss = value_loss + (returns[i][k] - value(model, step.obs)) ** 2 / count
            entropy = entropy + pi.entropy() / count
    loss = policy_loss + cfg.value_coef * value_loss - cfg.beta * entropy
    gradient = torch.autograd.grad(loss, list(model.parameters()))
    terms = (term.item() for term in (loss, policy_loss, value_loss, entropy))
    return Naive(returns, advantages, *terms, torch.cat([part.flatten() for part in gradient]))


def advantage(model: ActorCritic, stream: Stream, cfg: Config) -> float:
    """Of the first transition: the discounted sum of TD errors up to the end of its episode or of the stream.

    With lambda = 1 the values in between cancel, and what is left is the n-step return minus V.
    """
    total, discount = 0.0, 1.0
    for step in stream:
        after = 0.0 if step.terminated else float(value(model, step.successor))
        total += discount * (step.reward + cfg.gamma * after - float(value(model, step.obs)))
        discount *= cfg.gamma * cfg.gae_lambda
        if step.terminated or step.truncated:
            break
    return total


def value(model: ActorCritic, obs: Tensor) -> Tensor:
    return model(obs.unsqueeze(0))[1][0]


def policy(model: ActorCritic, obs: Tensor) -> Distribution:
    params = model(obs.unsqueeze(0))[0][0]
    if model.spaces.discrete:
        return Categorical(logits=params)
    mean, log_std = params.chunk(2)
    return Independent(Normal(mean, log_std.exp()), 1)


def streams_of(rollout: Rollout, final_obs: Tensor) -> list[list[Transition]]:
    """The transitions of each environment of a rollout, rows of weight 0 left out."""
    steps, count = rollout.rewards.shape
    return [
        [
            Transition(
                rollout.obs[t, i],
                rollout.actions[t, i],
                float(rollout.rewards[t, i]),
                bool(rollout.terminated[t, i]),
                bool(rollout.truncated[t, i]),
                final_obs[t, i] if rollout.truncated[t, i] else rollout.obs[t + 1, i],
            )
            for t in range(steps)
            if rollout.weight is None or rollout.weight[t, i] > 0
        ]
        for i in range(count)
    ]
