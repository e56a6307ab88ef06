"""Rewards on a common scale, by the running statistics of the discounted return.

The statistics change once per update, from the valid rows of the rollout just collected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from a2c.maths.moments import moments_of_numbers

Moments = tuple[float, float, int]  # mean, population variance, count
MomentsOf = Callable[[np.ndarray, np.ndarray], Moments]  # of the numbers [T, N] that a mask [T, N] picks


class RewardNormalizer:
    """Divides rewards by the standard deviation of the running discounted return of each environment.

        ret = gamma * ret + r;   update the moments with ret;   ret[done] = 0;   r / std

    It never subtracts the mean: that would change which policy is best. It runs on the host, where rewards arrive, and
    divides all rows of a rollout by the same number.

    Args:
        num_envs: N.
        gamma: discount.
        clip: bound of the normalised rewards.
        eps: added to the variance.
        moments_of: computes the moments of a rollout's returns; those over all ranks, where there are others.
    """

    def __init__(
        self,
        num_envs: int,
        gamma: float,
        clip: float = 10.0,
        eps: float = 1e-8,
        moments_of: MomentsOf | None = None,
    ) -> None:
        self.gamma, self.clip, self.eps = gamma, clip, eps
        self._moments_of = moments_of or moments_of_numbers
        self.running = np.zeros(num_envs)
        self.mean, self.var, self.count = 0.0, 1.0, 0.0

    def __call__(self, rewards: np.ndarray, done: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Update the statistics from the valid rows of a rollout ``[T, N]``, and return all its rewards normalised."""
        seen = []
        for reward, ended, counts in zip(rewards, done, valid, strict=True):
            self.running = np.where(counts, self.gamma * self.running + reward, self.running)
            seen.append(self.running)
            self.running = np.where(ended & counts, 0.0, self.running)
        self._merge(*self._moments_of(np.stack(seen), valid))
        scaled = rewards / np.sqrt(self.var + self.eps)
        clipped: np.ndarray = np.clip(scaled, -self.clip, self.clip).astype(np.float32)
        return clipped

    def _merge(self, mean: float, var: float, size: int) -> None:
        if size == 0:
            return
        total = self.count + size
        delta = mean - self.mean
        moment = self.var * self.count + var * size
        self.var = (moment + delta**2 * self.count * size / total) / total
        self.mean += delta * size / total
        self.count = total

    def state_dict(self) -> dict[str, Any]:
        running = torch.from_numpy(self.running.copy())
        return {"mean": self.mean, "var": self.var, "count": self.count, "running": running}

    def load_state_dict(self, state: dict[str, Any], begin: Sequence[int] = ()) -> None:
        """Go on from a state, but for environments in ``begin``, whose episodes begin."""
        self.mean, self.var, self.count = state["mean"], state["var"], state["count"]
        running = state.get("running")  # not in files of version 0.1
        if running is not None and len(running) == len(self.running):
            self.running = running.numpy().copy()
            self.running[list(begin)] = 0.0


class DeviceRewardNormalizer:
    """:class:`RewardNormalizer` on tensors that never move; only :meth:`state_dict` waits for the device."""

    def __init__(
        self, num_envs: int, gamma: float, device: torch.device, clip: float = 10.0, eps: float = 1e-8
    ) -> None:
        self.gamma, self.clip, self.eps = gamma, clip, eps
        dtype = torch.float32 if device.type == "mps" else torch.float64  # Metal has no float64
        self.running = torch.zeros(num_envs, dtype=dtype, device=device)
        self.moments = torch.tensor([0.0, 1.0, 0.0], dtype=dtype, device=device)  # mean, variance, count

    @property
    def tensors(self) -> list[Tensor]:
        """What a call changes, in place."""
        return [self.running, self.moments]

    def __call__(self, rewards: Tensor, done: Tensor, valid: Tensor | None) -> Tensor:
        """Update the statistics from a rollout ``[T, N]`` and return its normalised rewards.

        If ``valid`` is None, all rows are valid. Invalid rows change nothing: their reward must be 0, and an episode
        must have ended in the row before. A reward that is not finite comes out as NaN and leaves the statistics alone.
        """
        seen = rewards.to(self.running.dtype, copy=True)
        going = (~done).to(seen.dtype)
        running = self.running
        for t in range(len(seen)):
            running = seen[t].add_(running, alpha=self.gamma) * going[t]
        self.running.copy_(torch.where(running.isfinite(), running, self.running))
        self._merge(seen, valid)
        scaled = rewards / torch.sqrt(self.moments[1] + self.eps)
        return scaled.clamp(-self.clip, self.clip) + rewards * 0

    def _merge(self, returns: Tensor, valid: Tensor | None) -> None:
        mean, var, count = self.moments
        if valid is None:
            seen = torch.full_like(count, returns.numel())
            new_mean, new_var = returns.mean(), returns.var(correction=0)
        else:
            seen = valid.sum().to(count.dtype)
            new_mean = (returns * valid).sum() / seen.clamp(min=1)
            new_var = ((returns - new_mean).square() * valid).sum() / seen.clamp(min=1)
        total = (count + seen).clamp(min=1)
        delta = new_mean - mean
        moment = var * count + new_var * seen + delta.square() * count * seen / total
        new = torch.stack((mean + delta * seen / total, torch.where(seen > 0, moment / total, var), count + seen))
        self.moments.copy_(torch.where(new.isfinite().all(), new, self.moments))

    def state_dict(self) -> dict[str, Any]:
        moments = dict(zip(("mean", "var", "count"), self.moments.tolist(), strict=True))
        running = torch.where(self.running.isfinite(), self.running, 0.0)  # not what a refused rollout left
        return {**moments, "running": running.to("cpu", torch.float64, copy=True)}

    def load_state_dict(self, state: dict[str, Any], begin: bool = False) -> None:
        """Go on from a state; with ``begin``, all episodes begin."""
        running = state.get("running")  # not in files of version 0.1
        if not begin and running is not None and len(running) == len(self.running):
            self.running.copy_(running)
        moments = [state[name] for name in ("mean", "var", "count")]
        self.moments.copy_(torch.tensor(moments, dtype=self.moments.dtype))
