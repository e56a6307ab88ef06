"""A policy that does not learn: what it sees, and a critic that catches up with it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from a2c.build import build, make_envs
from a2c.maths.returns import lambda_returns, successor_values
from a2c.maths.trees import single
from a2c.network.actor_critic import ActorCritic
from a2c.network.protocol import Network
from a2c.rollout import Rollout
from a2c.settings.config import Config

FIT_STEPS, FIT_PASSES, FIT_RATE = 32, 4, 3e-3  # of fitting a critic: T, gradient steps a rollout, Adam's rate


def rollouts(cfg: Config, model: Network | None, count: int) -> Iterator[Rollout]:
    """``count`` rollouts of a frozen policy, by the collector that training uses.

    Each overwrites the one before it. All environments are reset together before the first.

    Args:
        cfg: settings of the environments, the network and the rollouts.
        model: acts and values; None: an untrained network, whose policy is close to uniform.
        count: how many.
    """
    with make_envs(cfg) as envs:
        learner, collector = build(cfg, envs)
        if model is not None:
            learner.model.load_state_dict(model.state_dict())
        for update in range(count):
            yield collector.collect(update)


@torch.no_grad()
def values_and_advantages(model: Network, cfg: Config, rollout: Rollout) -> tuple[Tensor, Tensor]:
    """V(obs[t]) and G[t] - V(obs[t]) of a rollout, both ``[T, N]``, as an update computes them."""
    values = model.value(single(rollout.obs).flatten(0, 1)).view(single(rollout.obs).shape[:2])
    following = successor_values(values[1:], rollout.final_values, rollout.terminated, rollout.truncated)
    done = rollout.terminated | rollout.truncated
    returns = lambda_returns(rollout.rewards, following, done, cfg.gamma, cfg.gae_lambda)
    return values[:-1], returns - values[:-1]


def fitted(model: ActorCritic, cfg: Config, steps: int) -> ActorCritic:
    """A copy whose critic learns for ``steps`` more env steps while the policy stays frozen.

    Args:
        model: its critic must have a separate torso.
        cfg: the settings that it was trained with.
    """
    model, cfg = copy.deepcopy(model), replace(cfg, n_step=FIT_STEPS, gae_lambda=1.0)
    critic = [weight for name, weight in model.named_parameters() if name.startswith("value")]
    optimizer = torch.optim.Adam(critic, FIT_RATE)
    for rollout in rollouts(cfg, model, -(-steps // (FIT_STEPS * cfg.num_envs))):
        values, advantages = values_and_advantages(model, cfg, rollout)
        obs, returns = single(rollout.obs)[:-1].flatten(0, 1), (values + advantages).flatten()
        for _ in range(FIT_PASSES):
            optimizer.zero_grad()
            (model.value(obs) - returns).square().mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    return model
