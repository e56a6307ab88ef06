"""What an update takes its means over: the transitions of its own rollout, or those of all ranks.

A mean of means is wrong as soon as ranks count differently. So every rank computes sums, all sums are added, and the
division by the count of all comes last; clipping and the optimizer see what one process with all environments would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from a2c.learning.leaves import LeafMetrics, OverLeaves, moments_of_all
from a2c.learning.loss_metrics import LossMetrics
from a2c.machine.one_rank import One
from a2c.machine.rank_group import Ranks
from a2c.maths.losses import mean, standardize, standardize_by, variance
from a2c.maths.moments import Moments, moments_of_numbers
from a2c.network.obs_normalizer import ObsNormalizer
from a2c.network.passes import Pass
from a2c.settings.config import Config


class Averaging(Protocol):
    """The means of one update.

    Attributes:
        count: what the gradient of the loss is divided by before :meth:`gradient`; None: the rollout's transitions.
        leaves: columns of environments that are computed apart, so that sums have a fixed order; None: they are not.
        empty: the last update was of no transition at all; nothing may change then.
    """

    @property
    def count(self) -> float | None: ...
    @property
    def leaves(self) -> Sequence[slice] | None: ...
    @property
    def empty(self) -> bool: ...

    def skips(self, transitions: int) -> bool:
        """Whether there is no update, since a rollout of so many transitions is all."""

    def counted(self, transitions: int) -> int:
        """Of a rollout of so many transitions that an update was just made of: those of all."""

    def moments(self, x: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and population variance of ``x`` ``[T, N]`` over the valid transitions: scalars."""

    def standardized(self, advantages: Tensor, weight: Tensor | None) -> Tensor:
        """Advantages with mean 0 and standard deviation 1 over the valid transitions, same shape."""

    def seen(self, statistics: ObsNormalizer, obs: Tensor, weight: Tensor | None) -> Moments:
        """Moments of observations ``[T, N, *obs]``, without the rows of weight 0."""

    def returns(self, returns: np.ndarray, valid: np.ndarray) -> tuple[float, float, int]:
        """Mean, population variance and count of numbers ``[T, N]`` on the host that a mask picks."""

    def pass_over(self, make: Callable[[int, int], Pass], weights: nn.Parameter, steps: int, count: int) -> Pass:
        """The pass over rollouts of T steps and N environments.

        Args:
            make: makes a plain one.
            weights: of the network as one vector, with the gradient.
            steps, count: T and N.
        """

    def metrics(self, make: Callable[[], LossMetrics]) -> LossMetrics | LeafMetrics:
        """The sums of metrics; ``make`` makes plain ones."""

    def gradient(self, gradient: Tensor, transitions: int, evidence: Tensor) -> Tensor:
        """Make a gradient the mean's, in place.

        Args:
            gradient: ``[W]``, of the loss divided by ``count``.
            transitions: of the rollout.
            evidence: scalar, not finite if the update must be refused.

        Returns:
            The evidence of all.
        """

    def to_first(self, sums: Tensor) -> None:
        """Move sums, such as those of metrics, to the first of all, in place; the others' become 0."""


class Alone:
    """The means over one rollout."""

    count: float | None = None
    leaves: Sequence[slice] | None = None
    empty = False  # such updates are skipped

    def skips(self, transitions: int) -> bool:
        return transitions == 0  # NEXT_STEP: every row was a reset; Adam would step from its momentum alone

    def counted(self, transitions: int) -> int:
        return transitions

    def moments(self, x: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        return mean(x, weight), variance(x, weight)

    def standardized(self, advantages: Tensor, weight: Tensor | None) -> Tensor:
        return standardize(advantages, weight)

    def seen(self, statistics: ObsNormalizer, obs: Tensor, weight: Tensor | None) -> Moments:
        return statistics.moments(obs, weight)

    def returns(self, returns: np.ndarray, valid: np.ndarray) -> tuple[float, float, int]:
        return moments_of_numbers(returns, valid)

    def pass_over(self, make: Callable[[int, int], Pass], weights: nn.Parameter, steps: int, count: int) -> Pass:
        return make(steps, count)

    def metrics(self, make: Callable[[], LossMetrics]) -> LossMetrics:
        return make()

    def gradient(self, gradient: Tensor, transitions: int, evidence: Tensor) -> Tensor:
        return evidence

    def to_first(self, sums: Tensor) -> None:
        pass


class OverRanks:
    """The means over the rollouts of all ranks: one sum of the gradient, its count and its evidence.

    That sum also carries whether a rank has been asked to stop, so that all of them end after the same update.

    Args:
        ranks: the processes that learn together.
    """

    count: float | None = 1.0  # gradients of sums
    leaves: Sequence[slice] | None = None

    def __init__(self, ranks: Ranks) -> None:
        self._ranks, self._transitions, self.empty = ranks, 0, False
        self._sums = torch.empty(0, dtype=torch.float32)  # gradient [W], transitions, ranks that want to stop, evidence

    def skips(self, transitions: int) -> bool:
        return False  # others may have some

    def counted(self, transitions: int) -> int:
        return self._transitions

    def moments(self, x: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        wide = x.double()
        count = wide.new_tensor(float(x.numel())) if weight is None else weight.sum().to(wide.dtype)
        center, spread, _ = self._merged((mean(wide, weight), variance(wide, weight), count))
        return center.to(x.dtype), spread.to(x.dtype)

    def standardized(self, advantages: Tensor, weight: Tensor | None) -> Tensor:
        return standardize_by(advantages, *self.moments(advantages, weight))

    def seen(self, statistics: ObsNormalizer, obs: Tensor, weight: Tensor | None) -> Moments:
        return self._merged(statistics.moments(obs, weight))

    def returns(self, returns: np.ndarray, valid: np.ndarray) -> tuple[float, float, int]:
        own = torch.tensor(moments_of_numbers(returns, valid), dtype=torch.float64)
        center, spread, count = self._merged((own[0], own[1], own[2]))
        return float(center), float(spread), int(count)

    def pass_over(self, make: Callable[[int, int], Pass], weights: nn.Parameter, steps: int, count: int) -> Pass:
        return make(steps, count)

    def metrics(self, make: Callable[[], LossMetrics]) -> LossMetrics:
        return make()

    def gradient(self, gradient: Tensor, transitions: int, evidence: Tensor) -> Tensor:
        size = gradient.numel()
        if self._sums.numel() != size + 3:
            self._sums = gradient.new_empty(size + 3)
        sums, ranks = self._sums, self._ranks
        sums[:size] = gradient
        sums[size], sums[size + 1], sums[size + 2] = transitions, ranks.wants_to_stop, evidence * 0
        ranks.add(sums)
        count, stops = sums[size : size + 2].tolist()  # the host waits; acting would wait for the new weights anyway
        self._transitions, self.empty, ranks.stopping = int(count), count == 0, ranks.stopping or stops > 0
        torch.div(sums[:size], max(count, 1.0), out=gradient)
        return sums[-1]

    def to_first(self, sums: Tensor) -> None:
        self._ranks.add(sums)
        if not self._ranks.leads:
            sums.zero_()

    def _merged(self, seen: Moments) -> Moments:
        return moments_of_all(self._ranks, [seen])


def averaging_of(cfg: Config, ranks: Ranks | None = None) -> Averaging:
    """The means of a run's updates.

    Args:
        cfg: the settings of the run.
        ranks: the processes that learn together; None: this one is alone.
    """
    if cfg.deterministic_ranks:
        return OverLeaves(ranks or One(), cfg.num_envs)
    return Alone() if ranks is None else OverRanks(ranks)
