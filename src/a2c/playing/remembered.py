"""What a policy with a memory remembers between its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from a2c.network.protocol import RecurrentNetwork


class Remembered:
    """The states of a network's memory, one for each row of the batches that it acts on.

    Args:
        model: the network.
    """

    def __init__(self, model: RecurrentNetwork) -> None:
        self._model = model
        self._states: Tensor | None = None  # [rows, S]; None: episodes begin, in however many rows

    @torch.inference_mode()  # as in the steps that write to it
    def reset(self, rows: Sequence[int] | None = None) -> None:
        """Forget, in some rows or in all."""
        if rows is None:
            self._states = None
        elif self._states is not None:
            known = [row for row in rows if row < len(self._states)]  # others have nothing to forget
            self._states[known] = 0.0

    def policy(self, obs: Any, count: int, rows: Sequence[int] | None) -> Tensor:
        """Parameters ``[count, P]`` for ``[count, *obs]``; the memory goes on by a step.

        Raises:
            ValueError: ``rows`` are not as many, or without them the last batch was of another size.
        """
        states, at = self._of(count, rows)
        params, states[at] = self._model.policy(obs, states[at])
        return params

    def value(self, obs: Any, count: int, rows: Sequence[int] | None) -> Tensor:
        """Values ``[count]``; the memory stays as it is. Raises as :meth:`policy`."""
        states, at = self._of(count, rows)
        return self._model.value(obs, states[at])

    def _of(self, count: int, rows: Sequence[int] | None) -> tuple[Tensor, list[int]]:
        at = list(range(count) if rows is None else rows)
        if len(at) != count:
            raise ValueError(f"{count} observations, but {len(at)} rows of the memory")
        size = max(at) + 1
        if self._states is None:
            self._states = self._model.initial_memory(size)
        elif rows is None and count != len(self._states):
            raise ValueError(f"the memory is of {len(self._states)} episodes, not {count}; reset() begins others")
        elif size > len(self._states):
            self._states = torch.cat([self._states, self._model.initial_memory(size - len(self._states))])
        return self._states, at
