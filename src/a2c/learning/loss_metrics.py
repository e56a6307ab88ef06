"""What a run logs about its updates, summed on the device with one matrix product an update."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NAMES = ("one", "policy", "residual", "entropy", "bonus", "return")
VALUE = "value"  # one more where the value's loss is not the square of a residual
WEIGHTED = "weighted"  # and one where its weight changes: residuals, or such losses, times that weight


class LossMetrics:
    """Sums of products of per-transition quantities over the updates since they were last read.

    Every metric of the loss is a mean, or a variance, of a handful of numbers per transition. Stacked into X
    ``[6, T*N]``, one matrix product X X^T holds all their sums and sums of squares: three operations instead of
    thirty, which at the sizes of a rollout is a tenth of an update. Float64, so that the variance of returns far from
    zero survives.

    Args:
        device: of the sums.
        own_value_loss: the value's loss is not the square of a residual.
        weighted: the weight of the value loss changes from update to update.
    """

    def __init__(self, device: torch.device, *, own_value_loss: bool = False, weighted: bool = False) -> None:
        self._names = (*NAMES, *([VALUE] if own_value_loss else []), *([WEIGHTED] if weighted else []))
        self._dtype = torch.float32 if device.type == "mps" else torch.float64  # Metal has no float64
        self.products = torch.zeros(len(self._names), len(self._names), dtype=self._dtype, device=device)
        self.grad_norms = torch.zeros(2, dtype=torch.float32, device=device)  # their sum, and how many

    @property
    def tensors(self) -> list[Tensor]:
        """What :meth:`add` and :meth:`add_norm` change."""
        return [self.products, self.grad_norms]

    def add(
        self,
        policy: Tensor,
        residuals: Tensor,
        entropies: Tensor,
        returns: Tensor,
        *,
        beta: Tensor | float,
        value_coef: Tensor | float = 0.5,
        weight: Tensor | None,
        value_losses: Tensor | None = None,
    ) -> None:
        """Add an update; nothing waits for the device.

        Args:
            policy: ``[T, N]``, log pi(a|s) * A.
            residuals: ``[T, N]``, G - V.
            entropies, returns: ``[T, N]``.
            beta: weight of the entropy bonus.
            value_coef: weight of the value loss; read only where it changes.
            weight: ``[T, N]``, 0 for rows that are no transition; None: all are.
            value_losses: ``[T, N]``, with ``own_value_loss``.
        """
        ones = torch.ones_like(policy)
        kinds = [ones, policy, residuals, entropies, entropies * beta, returns]
        if VALUE in self._names:
            assert value_losses is not None
            kinds.append(value_losses)
        if WEIGHTED in self._names:
            kinds.append((residuals if value_losses is None else value_losses) * value_coef)
        rows = torch.stack(kinds).view(len(kinds), -1).to(self._dtype)
        self.products.addmm_(rows if weight is None else rows * weight.view(-1), rows.t())

    def add_norm(self, grad_norm: Tensor) -> None:
        """Add the norm of an update's gradient, a scalar; nothing waits for the device."""
        self.grad_norms += torch.stack((grad_norm, torch.ones_like(grad_norm)))

    def take(self) -> list[Tensor]:
        """Return and clear the sums, for another's :meth:`merge`."""
        return take_from(self.tensors)

    def merge(self, taken: list[Tensor]) -> None:
        """Add the sums that another's :meth:`take` returned."""
        add_to(self.tensors, taken)

    def state(self) -> list[Tensor]:
        """The sums, on the CPU, for :meth:`load`."""
        return [tensor.cpu() for tensor in self.tensors]

    def load(self, state: Sequence[Tensor]) -> None:
        """Go on from :meth:`state`; an empty one changes nothing."""
        for saved, tensor in zip(state, self.tensors, strict=False):
            tensor.copy_(saved)

    def drain(self, value_coef: float) -> dict[str, float]:
        """Means over transitions (the gradient's norm: over updates) since the last call; the only wait.

        Args:
            value_coef: weight of the value loss, where it is constant.

        ``explained_variance`` is 1 - Var(G - V) / Var(G), 0 where G does not vary.
        """
        products: dict[str, list[float]] = dict(zip(self._names, self.products.tolist(), strict=True))
        norm, updates = self.grad_norms.tolist()
        self.products.zero_()
        self.grad_norms.zero_()
        count = max(products["one"][0], 1.0)
        means = {name: total / count for name, total in zip(self._names, products["one"], strict=True)}

        def mean_square(name: str) -> float:
            return products[name][NAMES.index(name)] / count

        def variance(name: str) -> float:
            return mean_square(name) - means[name] * means[name]

        policy_loss, value_loss = -means["policy"], means.get(VALUE, mean_square("residual"))
        weighted = value_coef * value_loss
        if WEIGHTED in products:
            factor = "one" if VALUE in products else "residual"
            weighted = products[WEIGHTED][NAMES.index(factor)] / count
        total = variance("return")
        return {
            "loss": policy_loss + weighted - means["bonus"],
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": means["entropy"],
            "grad_norm": norm / max(updates, 1.0),
            "explained_variance": 1 - variance("residual") / total if total > 0 else 0.0,
        }


def take_from(sums: Sequence[Tensor]) -> list[Tensor]:
    """Return copies of sums, and clear them."""
    taken = [tensor.clone() for tensor in sums]
    for tensor in sums:
        tensor.zero_()
    return taken


def add_to(sums: Sequence[Tensor], taken: Sequence[Tensor]) -> None:
    """Add what :func:`take_from` returned for others, in place."""
    for tensor, more in zip(sums, taken, strict=True):
        tensor += more
