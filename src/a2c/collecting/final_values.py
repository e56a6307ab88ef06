"""Values of the observations at which a time limit cut an episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from a2c.collecting.frame_stacks import continued
from a2c.machine.transfer import sent
from a2c.maths.trees import Tree, leaves, tree_map
from a2c.network.protocol import Network, RecurrentNetwork, remembers

Finals = list[tuple[int, NDArray[Any], Any]]  # (t, environments, their final observations), of truncated rows


class Critic(Protocol):
    """Values of observations; those of a network with a memory come as a pair, with the states of their episodes."""

    def value(self, obs: Any) -> Tensor:
        """``[B, *obs]``, a tree -> values ``[B]``."""


class RememberingCritic:
    """The critic of a network with a memory."""

    def __init__(self, model: RecurrentNetwork) -> None:
        self._model = model

    def value(self, obs: tuple[Any, Tensor]) -> Tensor:
        """``[B, *obs]`` and states ``[B, S]`` -> values ``[B]``; the states stay as they are."""
        return self._model.value(*obs)


def critic_of(model: Network) -> Critic:
    """The critic of a network."""
    return RememberingCritic(model) if remembers(model) else model


class FinalValues:
    """V(final observation) of truncated rows, 0 elsewhere: one extra forward, only when there are any.

    Args:
        model: the network.
        obs: ``[T+1, N, *obs]``, a tree: the memory of the rollout.
        stacked: what ends an episode is the newest frame alone, of a stack.
        values: ``[T, N]`` zeros, to write to.
        after: ``[T, N, S]``, the state of the network's memory that each step left; None: it has no memory.
        leaves: environments that are valued apart, a forward each; None: all at once.
    """

    def __init__(
        self,
        model: Network,
        obs: Tree,
        stacked: bool,
        values: Tensor,
        after: Tensor | None = None,
        leaves: Sequence[slice] | None = None,
    ) -> None:
        self._critic, self._obs, self._stacked, self._after = critic_of(model), obs, stacked, after
        self._leaves = leaves
        self._values, self._any = values, False

    def of(self, finals: Finals) -> Tensor:
        """``[T, N]`` values, in memory that the next call overwrites."""
        if self._any:
            self._values.zero_()
        self._any = bool(finals)
        if finals and self._leaves is None:
            self._write(finals)
        for leaf in self._leaves or () if finals else ():
            own = [final for final in finals if leaf.start <= final[1][0] < leaf.stop]  # of one group, which is a leaf
            if own:
                self._write(own)
        return self._values

    @torch.no_grad()
    def _write(self, finals: Finals) -> None:
        device = self._values.device
        times = sent(np.concatenate([np.full(len(rows), t) for t, rows, _ in finals]), device)
        rows = sent(np.concatenate([rows for _, rows, _ in finals]), device)

        def on_device(memory: Tensor, *parts: NDArray[Any]) -> Tensor:
            final = sent(np.concatenate(parts), device).to(memory.dtype)
            return continued(memory[times, rows], final) if self._stacked else final

        final_obs = tree_map(on_device, self._obs, *(obs for _, _, obs in finals))
        inputs = final_obs if self._after is None else (final_obs, self._after[times, rows])
        self._values[times, rows] = self._critic.value(inputs)


def value_all_rows(critic: Critic, finals: Tree, truncated: Tensor, values: Tensor) -> None:
    """Write V(final observation) where truncated, else 0; the critic runs on every row, and nothing waits.

    Args:
        critic: of the network (:func:`critic_of`).
        finals: ``[T, N, *obs]``, a tree; finite everywhere.
        truncated: ``[T, N]`` bool.
        values: ``[T, N]``, overwritten.
    """
    values.copy_(critic.value(tree_map(lambda part: part.flatten(0, 1), finals)).view_as(values))
    values.masked_fill_(~truncated, 0.0)


def value_truncated_rows(critic: Critic, finals: Tree, truncated: Tensor, values: Tensor) -> None:
    """As :func:`value_all_rows`, but the critic runs on the truncated rows alone; the host waits to learn which."""
    values.zero_()
    picked = truncated.nonzero(as_tuple=True)
    if len(picked[0]):
        values[picked] = critic.value(tree_map(lambda part: part[picked], finals))


def spread_the_infinite(finals: Tree, values: Tensor) -> None:
    """Make a value NaN where its observation is not finite, so that the learner refuses it.

    Bounds of a normaliser would otherwise make a number of infinity.

    Args:
        finals: ``[T, N, *obs]``, a tree.
        values: ``[T, N]``, changed in place.
    """
    for part in leaves(finals):
        values.add_(part.flatten(2).sum(2) * 0)


def cleared(finals: Tree, rows: Tensor) -> Tree:
    """Observations ``[T, N, *obs]``, a tree, with zeros where ``rows`` ``[T, N]``."""
    filled: Tree = tree_map(lambda part: part.masked_fill(rows.view(*rows.shape, *[1] * (part.ndim - 2)), 0), finals)
    return filled
