"""Counter-based noise: every random number of acting is a pure function of where it is used.

    uniform[t, i, k] = f(seed, update, t, global environment i, k)

There is no state to save, CPU and CUDA give the same numbers, and each part of a batch can draw its own columns
alone. So runs resume exactly, and results do not depend on how work is divided.
"""

from __future__ import annotations

import torch
from torch import Tensor

MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Philox4x32-10: four words of 128 random bits for every counter.

    Args:
        counter: four broadcastable int64 tensors that hold unsigned 32-bit words.
        key: two unsigned 32-bit words.

    Returns:
        Four int64 tensors of unsigned 32-bit words, of the broadcast shape.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        # A 32x32-bit product fits 64 bits; int64 wraps, and the mask undoes the arithmetic shift.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = ((p1 >> 32) & MASK) ^ c1 ^ k0, p1 & MASK, ((p0 >> 32) & MASK) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + _WEYL[0]) & MASK, (k1 + _WEYL[1]) & MASK
    return c0, c1, c2, c3


def uniform_noise(
    seed: int, updates: range, n_step: int, envs: range, size: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Uniform noise in the open interval (0, 1) for the rollouts of several updates.

    Args:
        seed: 64 bits at most.
        updates: indices of consecutive updates.
        n_step: T, steps of a rollout.
        envs: global indices of the environments, so that each part of a batch draws its own columns.
        size: K, numbers per environment and step.

    Returns:
        ``[len(updates), T, len(envs), K]`` float32.
    """
    return _uniform(seed, _words(updates, device).view(-1, 1, 1, 1), _words(range(n_step), device), envs, size)


def uniform_noise_at(
    seed: int, steps: range, n_step: int, envs: range, size: int, device: torch.device | str = "cpu"
) -> Tensor:
    """The same noise for some steps of a run, counted through its rollouts: t of update u is step u T + t.

    Args:
        seed: 64 bits at most.
        steps: of the run.
        n_step: T, steps of a rollout.
        envs: global indices of the environments.
        size: K, numbers per environment and step.

    Returns:
        ``[len(steps), len(envs), K]`` float32.
    """
    step = _words(steps, device)
    return _uniform(seed, (step // n_step).view(-1, 1, 1), step % n_step, envs, size)


def _words(numbers: range, device: torch.device | str) -> Tensor:
    return torch.arange(numbers.start, numbers.stop, numbers.step, dtype=torch.int64, device=device)


def _uniform(seed: int, update: Tensor, t: Tensor, envs: range, size: int) -> Tensor:
    """For updates ``[*, 1, 1]`` and steps ``[S]`` of a rollout: ``[*, S, len(envs), K]``, broadcast."""
    blocks = -(-size // 4)
    env = _words(envs, t.device).view(-1, 1)
    counter = (_words(range(blocks), t.device), env, t.view(-1, 1, 1), update & MASK)
    bits = torch.stack(philox(counter, (seed & MASK, (seed >> 32) & MASK)), dim=-1)
    bits = bits.flatten(-2)[..., :size].contiguous()
    # 23 bits and a half: the largest, 1 - 2**-24, is exact in float32, so neither 0 nor 1 ever comes out.
    return ((bits >> 9).to(torch.float32) + 0.5) * 2.0**-23
