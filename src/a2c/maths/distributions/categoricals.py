"""Several choices at once: MultiDiscrete."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from a2c.maths.distributions.categorical import Categorical
from a2c.maths.distributions.pullback import Pullback, columns
from a2c.maths.distributions.standard_noise import gumbel


@dataclass(frozen=True, slots=True)
class Categoricals:
    """D independent categoricals, from the logits of one after the other ``[*, sum of sizes]``.

    Args:
        sizes: D numbers of choices.
    """

    sizes: tuple[int, ...]
    free_size: ClassVar[int] = 0
    action_dtype: ClassVar[torch.dtype] = torch.int64

    @property
    def param_size(self) -> int:
        return sum(self.sizes)

    @property
    def noise_size(self) -> int:
        return sum(self.sizes)

    @property
    def action_shape(self) -> tuple[int, ...]:
        return (len(self.sizes),)

    def noise(self, uniform: Tensor) -> Tensor:
        """Standard Gumbel noise ``[*, sum of sizes]``."""
        return gumbel(uniform)

    def sample(self, params: Tensor, noise: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.cat([logits.argmax(-1) for _, logits in self._runs(params + noise)], -1, out=out)

    def mode(self, params: Tensor) -> Tensor:
        return torch.cat([logits.argmax(-1) for _, logits in self._runs(params)], -1)

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        log_probs, entropies = zip(
            *(one.log_prob_entropy(logits, taken) for one, logits, taken in self._taken(params, actions)), strict=True
        )
        return torch.cat(log_probs, -1).sum(-1), torch.cat(entropies, -1).sum(-1)

    def log_prob_entropy_pullback(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Pullback]:
        log_probs, entropies, pullbacks = zip(
            *(one.log_prob_entropy_pullback(logits, taken) for one, logits, taken in self._taken(params, actions)),
            strict=True,
        )

        def pullback(d_log_prob: Tensor, d_entropy: Tensor | float) -> Tensor:
            # A sum hands its gradient on to every term.
            d_log_prob, d_entropy = columns(d_log_prob, d_entropy)
            terms = zip(pullbacks, log_probs, strict=True)
            return torch.cat([back(d_log_prob.expand_as(own), d_entropy).flatten(-2) for back, own in terms], -1)

        return torch.cat(log_probs, -1).sum(-1), torch.cat(entropies, -1).sum(-1), pullback

    def _runs(self, values: Tensor) -> list[tuple[Categorical, Tensor]]:
        """``[*, sum of sizes]`` -> a categorical and its logits ``[*, d, n]`` for every d neighbours of one size n."""
        runs = [(n, len(list(run))) for n, run in itertools.groupby(self.sizes)]
        parts = values.split_with_sizes([n * d for n, d in runs], -1)
        return [(Categorical(n), torch.unflatten(part, -1, (d, n))) for (n, d), part in zip(runs, parts, strict=True)]

    def _taken(self, params: Tensor, actions: Tensor) -> list[tuple[Categorical, Tensor, Tensor]]:
        """Those of :meth:`_runs`, each with its actions ``[*, d]``."""
        runs = self._runs(params)
        taken = actions.split_with_sizes([logits.shape[-2] for _, logits in runs], -1)
        return [(one, logits, part) for (one, logits), part in zip(runs, taken, strict=True)]
