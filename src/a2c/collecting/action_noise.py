"""The noise for drawing actions, rollout by rollout."""

from __future__ import annotations

import torch
from torch import Tensor

from a2c.maths.distributions import GSDE, Distribution
from a2c.maths.noise import uniform_noise, uniform_noise_at
from a2c.settings.config import Config


class ActionNoise:
    """Noise for rollouts, drawn for several updates at once: launching a small kernel costs more than its work.

    Args:
        distribution: of the actions.
        seed: of the run.
        n_step, num_envs: T and N.
        device: where to draw it.
        first: global index of the first environment.
        elements: draw at most so many uniform numbers at once, or those of one update.
        hold: the noise of step t of update u is that of the last step whose number u T + t is a multiple of this. It
            spans rollouts, and remains a function of (seed, update, t, environment).
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
        hold: int = 1,
    ) -> None:
        self._distribution, self._seed, self._device = distribution, seed, device
        self._n_step, self._envs, self._hold = n_step, range(first, first + num_envs), hold
        self._ahead = max(1, elements * hold // (n_step * num_envs * distribution.noise_size))
        self._updates = range(0)
        self._drawn = torch.empty(0, dtype=torch.float32)

    def of(self, update: int) -> Tensor:
        """``[T, N, *noise]``: what ``Distribution.sample`` takes at each step of the rollout of an update."""
        if update not in self._updates:
            self._updates = range(update, update + self._ahead)
            self._drawn = self._distribution.noise(self._uniform())
        if self._hold == 1:
            return self._drawn[update - self._updates.start]
        steps = torch.arange(update * self._n_step, (update + 1) * self._n_step, device=self._device)
        return self._drawn.index_select(0, steps // self._hold - self._held().start // self._hold)

    def _uniform(self) -> Tensor:
        """``[updates, T, N, K]``, or ``[steps, N, K]`` for the steps whose noise is held."""
        size = self._distribution.noise_size
        if self._hold == 1:
            return uniform_noise(self._seed, self._updates, self._n_step, self._envs, size, self._device)
        return uniform_noise_at(self._seed, self._held(), self._n_step, self._envs, size, self._device)

    def _held(self) -> range:
        """The steps of the run that give the drawn updates their noise; the first may be before them."""
        begin, end = self._updates.start * self._n_step, self._updates.stop * self._n_step
        return range(begin - begin % self._hold, end, self._hold)


def noise_for(
    distribution: Distribution, cfg: Config, device: torch.device, *, first: int = 0, elements: int = 1 << 20
) -> ActionNoise:
    """The noise of a run, with which gSDE keeps its exploration for some steps; arguments as of ActionNoise."""
    hold = cfg.policy.sde_steps if isinstance(distribution, GSDE) else 1
    sizes = cfg.n_step, cfg.num_envs
    return ActionNoise(distribution, cfg.seed, *sizes, device, first=first, elements=elements, hold=hold)
