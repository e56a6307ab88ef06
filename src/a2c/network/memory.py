"""The memory of a network: a cell that goes from state to state, one step of all environments at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LSTM(nn.LSTMCell):
    """Long short-term memory; its state ``[B, 2H]`` is what it shows, then what it keeps to itself.

    Source: Hochreiter and Schmidhuber 1997; forget gates: Gers et al. 2000.
    """

    @property
    def state_size(self) -> int:
        """S."""
        return 2 * self.hidden_size

    def advance(self, features: Tensor, state: Tensor) -> Tensor:
        """Features ``[B, F]`` and the state ``[B, S]`` -> the next state ``[B, S]``."""
        shown, kept = state.chunk(2, -1)
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return torch.cat(torch.lstm_cell(features, (shown, kept), *weights), -1)

    def shown(self, state: Tensor) -> Tensor:
        """``[*, S]`` -> what the heads see of it, ``[*, H]``."""
        return state[..., : self.hidden_size]


class GRU(nn.GRUCell):
    """Gated recurrent unit; it shows its whole state ``[B, H]``.

    Source: Cho et al. 2014.
    """

    @property
    def state_size(self) -> int:
        """S."""
        return self.hidden_size

    def advance(self, features: Tensor, state: Tensor) -> Tensor:
        """Features ``[B, F]`` and the state ``[B, S]`` -> the next state ``[B, S]``."""
        return torch.gru_cell(features, state, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def shown(self, state: Tensor) -> Tensor:
        """``[*, S]`` -> what the heads see of it: all."""
        return state


CELLS: dict[str, type[LSTM] | type[GRU]] = {"lstm": LSTM, "gru": GRU}


def initialize(cell: LSTM | GRU, generator: torch.Generator) -> None:
    """Orthogonal weights, zero biases, but for the gate that keeps: it starts open.

    Source: Jozefowicz et al. 2015, "An empirical exploration of recurrent network architectures": a forget gate that
    starts open learns to remember.
    """
    for weight in (cell.weight_ih, cell.weight_hh):
        nn.init.orthogonal_(weight, 1.0, generator=generator)
    for bias in (cell.bias_ih, cell.bias_hh):
        nn.init.zeros_(bias)
    size = cell.hidden_size
    with torch.no_grad():
        cell.bias_ih[size : 2 * size] = 1.0  # the second gate of either: LSTM's forget gate, GRU's update gate


def cleared(state: Tensor, began: Tensor) -> Tensor:
    """The state ``[B, S]`` with zeros where an episode begins, ``[B]`` bool; no gradient flows back from there."""
    return state.masked_fill(began.unsqueeze(-1), 0.0)


def unrolled(cell: LSTM | GRU, features: Tensor, state: Tensor, began: Tensor) -> Tensor:
    """The states after each of T steps.

        state[t] = advance(features[t], 0 if began[t] else state[t-1])

    Args:
        cell: the memory.
        features: ``[T, N, F]``.
        state: ``[N, S]``, before the first step.
        began: ``[T, N]`` bool, an episode begins with step t.

    Returns:
        ``[T, N, S]``.
    """
    states = []
    for now, begins in zip(features.unbind(), began.unbind(), strict=True):
        state = cell.advance(now, cleared(state, begins))
        states.append(state)
    return torch.stack(states)
