"""Sums in a fixed order, whatever the number of ranks: ``deterministic_ranks``.

Float sums depend on their order. So all environments are cut into the same few leaves, whether one process has all of
them or each of several has some: every matrix product and every sum over environments is of one leaf, and the leaves'
sums are added as a fixed binary tree. The bytes are then those of any number of ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from a2c.learning.loss_metrics import LossMetrics, add_to, take_from
from a2c.machine.one_rank import Summing, rows_of
from a2c.maths.losses import mean, standardize_by, variance
from a2c.maths.moments import Moments, merged_moments, moments_of_numbers
from a2c.network.flat_weights import gradient_of
from a2c.network.obs_normalizer import ObsNormalizer
from a2c.network.passes import Pass
from a2c.rollout import Rollout, columns, rebuilt
from a2c.settings.leaf_count import leaves_of


class OverLeaves:
    """The means of an update over all leaves of all ranks; see :class:`a2c.learning.averaging.Averaging`.

    Args:
        ranks: the processes that learn together, or the only one.
        num_envs: N over all of them.
    """

    count: float | None = 1.0  # gradients of sums

    def __init__(self, ranks: Summing, num_envs: int) -> None:
        self._ranks, self._transitions, self.empty = ranks, 0, False
        self.leaves: Sequence[slice] = leaves_here(ranks, num_envs)
        self._pass: LeafPass

    def skips(self, transitions: int) -> bool:
        return False  # others may have some

    def counted(self, transitions: int) -> int:
        return self._transitions

    def pass_over(self, make: Callable[[int, int], Pass], weights: nn.Parameter, steps: int, count: int) -> Pass:
        self._pass = LeafPass(make, weights, self.leaves, steps)
        return self._pass

    def metrics(self, make: Callable[[], LossMetrics]) -> LeafMetrics:
        return LeafMetrics([make() for _ in self.leaves], self.leaves)

    def moments(self, x: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
        def of(leaf: slice) -> Moments:
            part = x[:, leaf].double().contiguous()
            own = torch.ones_like(part) if weight is None else weight[:, leaf].to(part.dtype).contiguous()
            return mean(part, own), variance(part, own), own.sum()

        center, spread, _ = self._merged([of(leaf) for leaf in self.leaves])
        return center.to(x.dtype), spread.to(x.dtype)

    def standardized(self, advantages: Tensor, weight: Tensor | None) -> Tensor:
        return standardize_by(advantages, *self.moments(advantages, weight))

    def seen(self, statistics: ObsNormalizer, obs: Tensor, weight: Tensor | None) -> Moments:
        def of(leaf: slice) -> Moments:
            own = None if weight is None else weight[:, leaf].contiguous()
            return statistics.moments(obs[:, leaf].contiguous(), own)

        return self._merged([of(leaf) for leaf in self.leaves])

    def returns(self, returns: np.ndarray, valid: np.ndarray) -> tuple[float, float, int]:
        """The moments of numbers ``[T, n]`` on the host that a mask picks, over all leaves."""
        own = [moments_of_numbers(returns[:, leaf], valid[:, leaf]) for leaf in self.leaves]
        center, spread, count = self._merged([torch.tensor(one, dtype=torch.float64).unbind() for one in own])
        return float(center), float(spread), int(count)

    def gradient(self, gradient: Tensor, transitions: int, evidence: Tensor) -> Tensor:
        ranks = self._ranks
        given = ranks.gather(self._pass.gradients).flatten(0, 1)  # [L, W], in order
        sums = evidence.new_tensor([transitions, float(ranks.wants_to_stop), 0.0], dtype=torch.float64)
        sums[2] += evidence * 0
        ranks.add(sums)
        count, stops = sums[:2].tolist()
        self._transitions, self.empty, ranks.stopping = int(count), count == 0, ranks.stopping or stops > 0
        torch.div(tree_sum(given), max(count, 1.0), out=gradient)
        return sums[2]

    def to_first(self, sums: Tensor) -> None:
        """``[l, *]``, of the leaves here: the first rank's first leaf gets the sum of all, every other one 0."""
        total = tree_sum(self._ranks.gather(sums).flatten(0, 1))
        sums.zero_()
        if self._ranks.leads:
            sums[0] = total

    def _merged(self, own: Sequence[Sequence[Tensor]]) -> Moments:
        return moments_of_all(self._ranks, own)


class LeafPass:
    """A pass for each leaf; the gradients stay apart.

    Args:
        make: makes the pass over a rollout of T steps and n environments.
        weights: of the network as one vector, with the gradient.
        leaves: columns of each.
        steps: T.

    Attributes:
        gradients: ``[l, W]``, of the leaves.
    """

    def __init__(
        self, make: Callable[[int, int], Pass], weights: nn.Parameter, leaves: Sequence[slice], steps: int
    ) -> None:
        self._leaves, self._weights = leaves, weights
        self._passes = [make(steps, leaf.stop - leaf.start) for leaf in leaves]
        self.gradients = weights.new_zeros(len(leaves), weights.numel())

    def forward(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        outputs = [
            one.forward(rebuilt(torch.Tensor.contiguous, columns(rollout, leaf)))
            for one, leaf in zip(self._passes, self._leaves, strict=True)
        ]
        params, values = zip(*outputs, strict=True)
        return torch.cat(params, 1), torch.cat(values, 1)

    def backward(self, d_params: Tensor, d_values: Tensor) -> None:
        for row, one, leaf in zip(self.gradients, self._passes, self._leaves, strict=True):
            one.backward(d_params[:, leaf].contiguous(), d_values[:, leaf].contiguous())
            row.copy_(gradient_of(self._weights))


class LeafMetrics:
    """:class:`LossMetrics` of each leaf, read as one; ``products`` is ``[l, *]``."""

    def __init__(self, each: Sequence[LossMetrics], leaves: Sequence[slice]) -> None:
        self._each, self._leaves = each, leaves
        self.products = torch.stack([one.products for one in each])
        self.grad_norms = each[0].grad_norms
        for row, one in zip(self.products, each, strict=True):
            one.products = row  # a view

    @property
    def tensors(self) -> list[Tensor]:
        return [self.products, self.grad_norms]

    def add(self, *parts: Tensor, **named: object) -> None:
        for one, leaf in zip(self._each, self._leaves, strict=True):
            cut = {name: _cut(part, leaf) for name, part in named.items()}
            one.add(*(_cut(part, leaf) for part in parts), **cut)  # type: ignore[arg-type]

    def add_norm(self, grad_norm: Tensor) -> None:
        self._each[0].add_norm(grad_norm)

    def take(self) -> list[Tensor]:
        return take_from(self.tensors)

    def merge(self, taken: list[Tensor]) -> None:
        add_to(self.tensors, taken)

    def drain(self, value_coef: float) -> dict[str, float]:
        """As of one; the sums of all leaves are in the first (:meth:`OverLeaves.to_first`)."""
        return self._each[0].drain(value_coef)

    def state(self) -> list[Tensor]:
        """As of one, likewise."""
        return self._each[0].state()

    def load(self, state: Sequence[Tensor]) -> None:
        self.take()
        self._each[0].load(state)


def leaves_here(ranks: Summing, num_envs: int) -> list[slice]:
    """The leaves of a rank, as columns among its own environments.

    Raises:
        ValueError: the ranks cannot share them out evenly.
    """
    total = leaves_of(num_envs)
    if total % ranks.size:
        raise ValueError(f"{ranks.size} ranks cannot share out {total} leaves")
    first = ranks.rows(num_envs).start
    bounds = [rows_of(leaf, total, num_envs) for leaf in ranks.rows(total)]
    return [slice(rows.start - first, rows.stop - first) for rows in bounds]


def moments_of_all(ranks: Summing, own: Sequence[Sequence[Tensor]]) -> Moments:
    """The moments of what all ranks have seen, from those of each part that this one has; as many parts on every rank.

    Args:
        ranks: the processes that learn together.
        own: (mean ``[*]``, population variance ``[*]``, count ``[]``) of each part.
    """
    rows = torch.stack([torch.cat([part.flatten(), spread.flatten(), n.view(1)]) for part, spread, n in own])
    every = ranks.gather(rows).flatten(0, 1)  # [parts of all, 2D+1]
    means, variances = every[:, :-1].reshape(len(every), 2, *own[0][0].shape).unbind(1)
    return merged_moments(means, variances, every[:, -1])


def tree_sum(rows: Tensor) -> Tensor:
    """The sum of ``[L, *]`` over a power of two of rows, always added in the same order: neighbours first."""
    while len(rows) > 1:
        rows = rows[0::2] + rows[1::2]
    return rows[0]


def _cut(part: object, leaf: slice) -> object:
    """The columns of a leaf, of ``[T, N]``; a scalar stays as it is."""
    return part[:, leaf].contiguous() if isinstance(part, Tensor) and part.ndim > 1 else part
