"""The noise for drawing actions, rollout by rollout."""

from __future__ import annotations

import torch
from torch import Tensor

from a2c.maths.distributions import Distribution
from a2c.maths.noise import uniform_noise


class ActionNoise:
    """Noise for rollouts, drawn for several updates at once: launching a small kernel costs more than its work.

    Args:
        distribution: of the actions.
        seed: of the run.
        n_step, num_envs: T and N.
        device: where to draw it.
        first: global index of the first environment.
        elements: draw at most so many uniform numbers at once, or those of one update.
    """

    def __init__(
        self,
        distribution: Distribution,
        seed: int,
        n_step: int,
        num_envs: int,
        device: torch.device,
        *,
        first: int = 0,
        elements: int = 1 << 20,
    ) -> None:
        self._distribution, self._seed, self._device = distribution, seed, device
        self._n_step, self._envs = n_step, range(first, first + num_envs)
        self._ahead = max(1, elements // (n_step * num_envs * distribution.noise_size))
        self._updates = range(0)
        self._drawn = torch.empty(0, dtype=torch.float32)

    def of(self, update: int) -> Tensor:
        """``[T, N, *noise]``: what ``Distribution.sample`` takes at each step of the rollout of an update."""
        if update not in self._updates:
            self._updates = range(update, update + self._ahead)
            size = self._distribution.noise_size
            uniform = uniform_noise(self._seed, self._updates, self._n_step, self._envs, size, self._device)
            self._drawn = self._distribution.noise(uniform)
        return self._drawn[update - self._updates.start]
