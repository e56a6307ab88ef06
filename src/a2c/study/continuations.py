"""CartPole continued many times from the same states, under a frozen policy."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from a2c.envs.device.cartpole import ANGLE_LIMIT, START, X_LIMIT, next_state
from a2c.network.protocol import Network

MET_WITHIN = 200  # steps of an episode from which states are drawn


@torch.no_grad()
def play(
    policy: Network,
    critics: Sequence[Network],
    state: Tensor,
    lengths: Collection[int],
    random: torch.Generator,
) -> tuple[Tensor, list[dict[int, Tensor]]]:
    """Continue from states ``[B, 4]`` with the policy's own actions, without a time limit.

    Args:
        policy: acts.
        critics: value the states on the way.
        state: where to start.
        lengths: the numbers of steps n after which the critics value the state; the longest ends the continuation.
        random: draws the actions.

    Returns:
        ``[max(lengths), B]`` bool: the pole has fallen at this step or before; and for each critic, its value ``[B]``
        of the state after n steps, for every n of ``lengths``.
    """
    done = torch.zeros(max(lengths), len(state), dtype=torch.bool)
    values: list[dict[int, Tensor]] = [{} for _ in critics]
    fallen = has_fallen(state)
    for t in range(len(done)):
        state = torch.where(fallen.unsqueeze(-1), state, step(policy, state, random))
        fallen = fallen | has_fallen(state)
        done[t] = fallen
        if t + 1 in lengths:
            for value, critic in zip(values, critics, strict=True):
                value[t + 1] = critic.value(state)
    return done, values


@torch.no_grad()
def states_met(policy: Network, count: int, random: torch.Generator) -> Tensor:
    """States ``[count, 4]`` that the policy meets, each at a random step of a separate episode.

    If too few episodes last long enough, some states repeat.
    """
    state = (2 * torch.rand(8 * count, 4, generator=random) - 1) * START
    when = torch.randint(MET_WITHIN, (len(state),), generator=random)
    met = torch.full_like(state, torch.nan)
    fallen = has_fallen(state)
    for t in range(MET_WITHIN):
        here = (when == t) & ~fallen
        met[here] = state[here]
        state = torch.where(fallen.unsqueeze(-1), state, step(policy, state, random))
        fallen = fallen | has_fallen(state)
    met = met[~met.isnan().any(-1)]
    return met[torch.arange(count) % len(met)]


def step(policy: Network, state: Tensor, random: torch.Generator) -> Tensor:
    """States ``[B, 4]`` after one action of the policy in each."""
    distribution = policy.distribution
    uniform = torch.rand(len(state), distribution.noise_size, generator=random).clamp(2.0**-24, 1 - 2.0**-24)
    return next_state(state, distribution.sample(policy.policy(state), distribution.noise(uniform)))


def has_fallen(state: Tensor) -> Tensor:
    """``[B, 4]`` -> ``[B]`` bool: beyond the limits at which CartPole-v1 terminates."""
    return (state[:, ::2].abs() > torch.tensor([X_LIMIT, ANGLE_LIMIT])).any(-1)
