"""One distribution of independent parts: Dict and Tuple."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import torch
from torch import Tensor

from a2c.maths.distributions.distribution import Distribution
from a2c.maths.distributions.pullback import Pullback, pullback_of


@dataclass(frozen=True, slots=True)
class Joint:
    """Independent parts: log pi and the entropy are sums over them.

    Every part has columns of its own, side by side, in noise and actions. Actions are float32 if any part's are, and a
    float32 holds a choice exactly up to 2^24. Parameters are in the order

        [computed from the state: part 0, part 1, ...;  free: part 0, part 1, ...]

    for the free ones of a distribution are its last.

    Args:
        parts: at least one; a part may be a joint distribution itself.
    """

    parts: tuple[Distribution, ...]
    _noise_widths: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # How much noise a part makes of its uniform numbers is known to the part alone.
        widths = [part.noise(torch.full((part.noise_size,), 0.5, dtype=torch.float32)).shape[-1] for part in self.parts]
        object.__setattr__(self, "_noise_widths", widths)

    @property
    def param_size(self) -> int:
        return sum(part.param_size for part in self.parts)

    @property
    def free_size(self) -> int:
        return sum(part.free_size for part in self.parts)

    @property
    def noise_size(self) -> int:
        return sum(part.noise_size for part in self.parts)

    @property
    def action_shape(self) -> tuple[int, ...]:
        return (sum(self._widths()),)

    @property
    def action_dtype(self) -> torch.dtype:
        return torch.float32 if any(part.action_dtype.is_floating_point for part in self.parts) else torch.int64

    @property
    def action_columns(self) -> tuple[slice, ...]:
        """Where the actions of each part are; those of a part without an action dimension are one column."""
        ends = itertools.accumulate(self._widths(), initial=0)
        return tuple(slice(*pair) for pair in itertools.pairwise(ends))

    def noise(self, uniform: Tensor) -> Tensor:
        """That of every part, side by side."""
        columns = uniform.split_with_sizes([part.noise_size for part in self.parts], -1)
        return torch.cat([part.noise(own) for part, own in zip(self.parts, columns, strict=True)], -1)

    def sample(self, params: Tensor, noise: Tensor, out: Tensor | None = None) -> Tensor:
        columns = zip(self.parts, self._params(params), noise.split_with_sizes(self._noise_widths, -1), strict=True)
        return self._packed([part.sample(own, its_noise) for part, own, its_noise in columns], out)

    def mode(self, params: Tensor) -> Tensor:
        return self._packed([part.mode(own) for part, own in zip(self.parts, self._params(params), strict=True)])

    def log_prob_entropy(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        columns = zip(self.parts, self._params(params), self._unpacked(actions), strict=True)
        log_probs, entropies = zip(*(part.log_prob_entropy(own, taken) for part, own, taken in columns), strict=True)
        return reduce(operator.add, log_probs), reduce(operator.add, entropies)

    def log_prob_entropy_pullback(self, params: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Pullback]:
        columns = zip(self.parts, self._params(params), self._unpacked(actions), strict=True)
        log_probs, entropies, pullbacks = zip(
            *(pullback_of(part)(own, taken) for part, own, taken in columns), strict=True
        )

        def pullback(d_log_prob: Tensor, d_entropy: Tensor | float) -> Tensor:
            # A sum hands its gradient on to every term.
            gradients = [back(d_log_prob, d_entropy) for back in pullbacks]
            frees = [part.free_size for part in self.parts]
            halves = [
                own.split_with_sizes([own.shape[-1] - free, free], -1)
                for own, free in zip(gradients, frees, strict=True)
            ]
            return torch.cat([half[place] for place in (0, 1) for half in halves], -1)

        return reduce(operator.add, log_probs), reduce(operator.add, entropies), pullback

    def _widths(self) -> list[int]:
        return [math.prod(part.action_shape) for part in self.parts]

    def _params(self, params: Tensor) -> list[Tensor]:
        """``[*, P]`` -> those of every part, in the part's own order."""
        free = [part.free_size for part in self.parts]
        computed = [part.param_size - part.free_size for part in self.parts]
        columns = params.split_with_sizes([*computed, *free], -1)
        pairs = zip(columns[: len(free)], columns[len(free) :], free, strict=True)
        return [torch.cat([own, last], -1) if some else own for own, last, some in pairs]

    def _packed(self, actions: Sequence[Tensor], out: Tensor | None = None) -> Tensor:
        """Actions of every part -> ``[*, *action_shape]``."""
        sized = zip(actions, self.parts, self._widths(), strict=True)
        flat = [own.reshape(*own.shape[: own.dim() - len(part.action_shape)], width) for own, part, width in sized]
        return torch.cat(flat, -1, out=out)

    def _unpacked(self, actions: Tensor) -> list[Tensor]:
        """``[*, *action_shape]`` -> actions of every part, in its own shape, integers if they were."""
        columns = zip(self.parts, actions.split_with_sizes(self._widths(), -1), strict=True)
        shaped = [(part.action_dtype, own.reshape((*own.shape[:-1], *part.action_shape))) for part, own in columns]
        return [own if dtype.is_floating_point else own.to(dtype) for dtype, own in shaped]
