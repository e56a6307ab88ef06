"""Returns of a rollout: pure functions of time-major tensors ``[T, N]``."""

from __future__ import annotations

import torch
from torch import Tensor


def successor_values(following: Tensor, final_values: Tensor, terminated: Tensor, truncated: Tensor) -> Tensor:
    """Value of the true successor of every step of a rollout.

        next_value[t] = 0                if terminated[t]     the world ended: nothing follows
                        final_values[t]  if truncated[t]      the clock ended: V(final observation)
                        V(obs[t+1])      elsewhere; obs[T] is where the next rollout starts

    Where both flags are set, terminated wins.

    Args:
        following: ``[T, N]``, V(obs[t+1]).
        final_values: ``[T, N]``, V(final observation) where truncated, anything elsewhere.
        terminated, truncated: ``[T, N]`` bool.

    Returns:
        ``[T, N]``; no gradient flows to ``following``.

    Raises:
        ValueError: the shapes do not fit.

    Source: Pardo et al. 2018, "Time limits in reinforcement learning", section 3.
    """
    _check_shapes(following, final_values=final_values, terminated=terminated, truncated=truncated)
    return torch.where(terminated, 0.0, torch.where(truncated, final_values, following.detach()))


def lambda_returns(
    rewards: Tensor, next_values: Tensor, done: Tensor, gamma: float, gae_lambda: Tensor | float = 1.0
) -> Tensor:
    """Lambda-return of every step, bootstrapped where the episode or the rollout ends.

        G[t] = r[t] + gamma * next_value[t]                                          if done[t] or t == T-1
               r[t] + gamma * ((1 - lambda) * next_value[t] + lambda * G[t+1])       elsewhere

    ``G - V`` is the generalised advantage estimate; lambda = 1 is the n-step return, exactly;
    lambda = 0 is TD(0).

    Args:
        rewards: ``[T, N]``, reward received after step t.
        next_values: ``[T, N]``, value of the true successor, as for :func:`n_step_returns`.
        done: ``[T, N]`` bool, the episode ended at step t, either way.
        gamma: discount in [0, 1].
        gae_lambda: lambda in [0, 1], a number or a scalar.

    Returns:
        ``[T, N]``, detached.

    Raises:
        ValueError: the shapes do not fit.

    Source: Schulman et al. 2016 (GAE), eq. 16; Sutton & Barto 2018, eq. 12.2.
    """
    _check_shapes(rewards, next_values=next_values, done=done)
    rewards, next_values = rewards.detach(), next_values.detach()
    # G[t] = fixed[t] + carried[t] * G[t+1]: compute both for all steps at once, which leaves one operation a step.
    carried = (~done).to(rewards.dtype).mul_(gamma * gae_lambda)
    carried[-1] = 0.0
    returns = torch.addcmul(rewards, next_values, gamma - carried)
    rows = returns.unbind()
    for t in reversed(range(len(rows) - 1)):
        rows[t].addcmul_(carried[t], rows[t + 1])
    return returns


def n_step_returns(rewards: Tensor, next_values: Tensor, done: Tensor, gamma: float) -> Tensor:
    """n-step return of every step, truncated at the rollout's end: :func:`lambda_returns` with lambda = 1.

        G[t] = r[t] + gamma * (next_value[t]  if done[t] or t == T-1  else  G[t+1])

    Args:
        rewards: ``[T, N]``, reward received after step t.
        next_values: ``[T, N]``, value of the true successor of step t: 0 where terminated, V(final observation) where
            truncated, V(obs[t+1]) elsewhere.
        done: ``[T, N]`` bool, the episode ended at step t, either way.
        gamma: discount in [0, 1].

    Returns:
        ``[T, N]``, detached.

    Raises:
        ValueError: the shapes do not fit.

    Source: Mnih et al. 2016 (A3C), algorithm S3; Sutton & Barto 2018, eq. 7.1.
    """
    return lambda_returns(rewards, next_values, done, gamma)


def _check_shapes(expected: Tensor, **others: Tensor) -> None:
    if expected.ndim != 2 or len(expected) == 0:
        raise ValueError(f"a rollout's tensors have shape [T, N] with T >= 1, not {list(expected.shape)}")
    for name, other in others.items():
        if other.shape != expected.shape:
            raise ValueError(f"{name} has shape {list(other.shape)}; expected [T, N] = {list(expected.shape)}")
