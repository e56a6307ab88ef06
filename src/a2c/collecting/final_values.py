"""V(final observation) of truncated rows, for environments on the device."""

from __future__ import annotations

from torch import Tensor

from a2c.maths.trees import Tree, leaves, tree_map
from a2c.network.protocol import Network


def value_all_rows(model: Network, finals: Tree, truncated: Tensor, values: Tensor) -> None:
    """Write V(final observation) where truncated, else 0; the critic runs on every row, and nothing waits.

    Args:
        model: the network.
        finals: ``[T, N, *obs]``, a tree; finite everywhere.
        truncated: ``[T, N]`` bool.
        values: ``[T, N]``, overwritten.
    """
    values.copy_(model.value(tree_map(lambda part: part.flatten(0, 1), finals)).view_as(values))
    values.masked_fill_(~truncated, 0.0)


def value_truncated_rows(model: Network, finals: Tree, truncated: Tensor, values: Tensor) -> None:
    """As :func:`value_all_rows`, but the critic runs on the truncated rows alone; the host waits to learn which."""
    values.zero_()
    picked = truncated.nonzero(as_tuple=True)
    if len(picked[0]):
        values[picked] = model.value(tree_map(lambda part: part[picked], finals))


def spread_the_infinite(finals: Tree, values: Tensor) -> None:
    """Make a value NaN where its observation is not finite, so that the learner refuses it.

    Bounds of a normaliser would otherwise make a number of infinity.

    Args:
        finals: ``[T, N, *obs]``, a tree.
        values: ``[T, N]``, changed in place.
    """
    for part in leaves(finals):
        values.add_(part.flatten(2).sum(2) * 0)
