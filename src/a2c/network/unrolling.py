"""From state to state over T steps, and the gradient, written out: autograd would record some twenty nodes a step.

What does not go from step to step is done for all T at once: gradients of the weights, and derivatives of the gates.
Here x ``[T, N, G]`` is what the features bring to each gate, biases included; h is what the memory shows and c what an
LSTM keeps to itself, both 0 before a step with which an episode begins; d_y is the gradient of the loss by y.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from a2c.network.flat_weights import gradient_of
from a2c.network.memory import GRU, LSTM


class Unrolled(NamedTuple):
    """T steps of a memory, as its gradient needs them."""

    states: Tensor  # [T, N, S]  after each step
    before: Tensor  # [T, N, S]  before each step, cleared where an episode begins
    gates: Tensor  # [T, N, G]
    inner: Tensor  # [T, N, H]  of a GRU: what the memory brings to n, without r; an LSTM has none


def unroll(cell: LSTM | GRU, x: Tensor, state: Tensor, begins: Tensor) -> Unrolled:
    """Go through T steps, as :func:`a2c.network.memory.unrolled`.

    Args:
        cell: the memory.
        x: ``[T, N, G]``, :func:`of_features`.
        state: ``[N, S]``, before the first step.
        begins: ``[T, N, 1]`` bool, an episode begins with step t.
    """
    return _unroll_lstm(cell, x, state, begins) if isinstance(cell, LSTM) else _unroll_gru(cell, x, state, begins)


def backward(cell: LSTM | GRU, run: Unrolled, begins: Tensor, d_shown: Tensor) -> Tensor:
    """Write the gradients of all weights of the memory but ``weight_ih``.

    Args:
        cell: the memory, whose gradients are allocated.
        run: of the steps that are learned from.
        begins: as in :func:`unroll`.
        d_shown: ``[T, N, H]``, the gradient by h.

    Returns:
        d_x ``[T * N, G]``.
    """
    of = _backward_lstm if isinstance(cell, LSTM) else _backward_gru
    d_x, d_own = of(cell.weight_hh.detach(), run, begins, d_shown)
    d_x, d_own = d_x.flatten(0, 1).flatten(1), d_own.flatten(0, 1).flatten(1)
    torch.mm(d_own.t(), run.before[..., : cell.hidden_size].flatten(0, 1), out=gradient_of(cell.weight_hh))
    torch.sum(d_own, 0, out=gradient_of(cell.bias_hh))
    torch.sum(d_x, 0, out=gradient_of(cell.bias_ih))
    return d_x


def of_features(cell: LSTM | GRU, features: Tensor) -> Tensor:
    """``[B, F]`` -> what they bring to the gates, ``[B, G]``, with the biases that can be added here."""
    bias = cell.bias_ih.detach()
    if isinstance(cell, LSTM):  # of a GRU, r multiplies the other bias
        bias = bias + cell.bias_hh.detach()
    return torch.addmm(bias, features, cell.weight_ih.detach().t())


def _unroll_lstm(cell: LSTM, x: Tensor, state: Tensor, begins: Tensor) -> Unrolled:
    """Hochreiter and Schmidhuber 1997, with the forget gates of Gers et al. 2000.

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of x[t] + W h[t-1]
    c[t] = f c[t-1] + i g;    h[t] = o tanh(c[t])
    """
    size, across, zero = cell.hidden_size, cell.weight_hh.detach().t(), x.new_zeros(())
    gates, states = torch.empty_like(x), x.new_empty(*x.shape[:2], 2 * size)
    before = torch.empty_like(states)
    parts = (*before.chunk(2, -1), *gates.chunk(4, -1), *states.chunk(2, -1))
    for now, new, here, gate, after, h, c, i, f, g, o, h_after, c_after in zip(
        x, begins, before, gates, states, *parts, strict=True
    ):
        torch.where(new, zero, state, out=here)
        ahead = torch.addmm(now, h, across)
        torch.sigmoid(ahead, out=gate)
        torch.tanh(ahead[:, 2 * size : 3 * size], out=g)
        torch.mul(f, c, out=c_after).addcmul_(i, g)
        torch.tanh(c_after, out=h_after).mul_(o)
        state = after
    return Unrolled(states, before, gates, before)


def _backward_lstm(weight: Tensor, run: Unrolled, begins: Tensor, d_shown: Tensor) -> tuple[Tensor, Tensor]:
    c, shown = run.before.chunk(2, -1)[1], run.states.chunk(2, -1)[1].tanh()
    i, f, g, o = run.gates.chunk(4, -1)
    of_c = o * (1 - shown * shown)  # the derivative of h[t] by c[t]
    # Those by the inputs of the gates: of c[t] by the first three, of h[t] by the last.
    slopes = torch.stack([g * i * (1 - i), c * f * (1 - f), i * (1 - g * g), shown * o * (1 - o)], -2)
    d_x = torch.empty_like(slopes)
    h_later = c_later = torch.zeros_like(d_shown[0])
    steps = (d_shown, begins, of_c, f, slopes[..., :3, :], slopes[..., 3, :], d_x, d_x[..., :3, :], d_x[..., 3, :])
    for shows, new, by_c, keeps, of_ifg, of_o, d_gates, d_ifg, d_o in zip(
        *(reversed(part.unbind()) for part in steps), strict=True
    ):
        d_h = shows + h_later
        d_c = torch.addcmul(c_later, d_h, by_c)
        torch.mul(of_ifg, d_c.unsqueeze(1), out=d_ifg)
        torch.mul(of_o, d_h, out=d_o)
        h_later = torch.mm(d_gates.flatten(1), weight).masked_fill_(new, 0.0)
        c_later = (d_c * keeps).masked_fill_(new, 0.0)
    return d_x, d_x


def _unroll_gru(cell: GRU, x: Tensor, state: Tensor, begins: Tensor) -> Unrolled:
    """Cho et al. 2014, with r behind the weights, as torch has it.

    r, z = sigmoid of x[t] + W h[t-1] + b;    n = tanh(x[t] + r (W h[t-1] + b))
    h[t] = n + z (h[t-1] - n)
    """
    size, across, bias = cell.hidden_size, cell.weight_hh.detach().t(), cell.bias_hh.detach()
    gates, states, zero = torch.empty_like(x), x.new_empty(*x.shape[:2], size), x.new_zeros(())
    before, inner = torch.empty_like(states), torch.empty_like(states)
    parts = (*gates.chunk(3, -1), gates[..., : 2 * size], x[..., : 2 * size], x[..., 2 * size :])
    for new, here, own_n, after, r, z, n, r_and_z, x_rz, x_n in zip(begins, before, inner, states, *parts, strict=True):
        torch.where(new, zero, state, out=here)
        own = torch.addmm(bias, here, across)
        own_n.copy_(own[:, 2 * size :])
        torch.add(x_rz, own[:, : 2 * size], out=r_and_z).sigmoid_()
        torch.addcmul(x_n, r, own_n, out=n).tanh_()
        torch.sub(here, n, out=after).mul_(z).add_(n)
        state = after
    return Unrolled(states, before, gates, inner)


def _backward_gru(weight: Tensor, run: Unrolled, begins: Tensor, d_shown: Tensor) -> tuple[Tensor, Tensor]:
    r, z, n = run.gates.chunk(3, -1)
    of_n = (1 - z) * (1 - n * n)
    # The derivatives of h[t] by the inputs of the gates: from the features and, of n, from the memory.
    of_r, of_z = of_n * run.inner * r * (1 - r), (run.before - n) * z * (1 - z)
    slopes, own = torch.stack([of_r, of_z, of_n], -2), torch.stack([of_r, of_z, of_n * r], -2)
    d_states, d_own, later = torch.empty_like(d_shown), torch.empty_like(own), torch.zeros_like(d_shown[0])
    steps = (d_shown, begins, z, own, d_states, d_own)
    for shows, new, keeps, of_gates, d_h, d_gates in zip(*(reversed(part.unbind()) for part in steps), strict=True):
        torch.add(shows, later, out=d_h)
        torch.mul(of_gates, d_h.unsqueeze(1), out=d_gates)
        later = torch.addmm(d_h * keeps, d_gates.flatten(1), weight).masked_fill_(new, 0.0)
    return slopes * d_states.unsqueeze(-2), d_own
