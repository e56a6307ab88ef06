"""What many environments see side by side under a frozen policy, and batches drawn from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from a2c.maths.trees import single
from a2c.network.protocol import Network
from a2c.settings.config import Config
from a2c.study.frozen import rollouts, values_and_advantages

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SCALARS = ("distance of the cart from the centre", "value V(s)", "advantage")


@dataclass(frozen=True, slots=True)
class Batch:
    """The places of the samples of many batches of one kind."""

    times: Ints  # [B, W]  where each of W windows begins
    envs: Ints  # [B, W], or [B, 1] for one environment
    length: int  # of a window: consecutive steps of an environment


def record(model: Network, cfg: Config, streams: int, steps: int) -> dict[str, Floats]:
    """Each scalar of CartPole along the policy, ``[steps, streams]``; all streams begin with a reset.

    Advantages are those of rollouts of ``cfg.n_step`` steps, which divides ``steps``.
    """
    cfg = replace(cfg, num_envs=streams)
    rows = []
    for rollout in rollouts(cfg, model, steps // cfg.n_step):
        values, advantages = values_and_advantages(model, cfg, rollout)
        rows.append(np.stack([single(rollout.obs)[:-1, :, 0].abs().numpy(), values.numpy(), advantages.numpy()]))
    return dict(zip(SCALARS, np.concatenate(rows, 1).astype(np.float64), strict=True))


@dataclass(frozen=True, slots=True)
class Draws:
    """Random batches of N windows of T steps, or of N T steps of one environment.

    ``first`` and ``last`` bound the steps at which a batch begins: windows begin where rollouts do.
    """

    streams: int
    count: int  # batches of each kind
    num_envs: int  # N
    n_step: int  # T
    random: np.random.Generator

    def one(self, first: int, last: int) -> Batch:
        """N T consecutive steps of one environment."""
        times = self._rollouts(first, last - self.num_envs * self.n_step, (self.count, 1))
        return Batch(times, self._one_env(), self.num_envs * self.n_step)

    def replay(self, first: int, last: int) -> Batch:
        """N T steps drawn at random from the steps in [first, last) of one environment."""
        return Batch(
            self.random.integers(first, last, (self.count, self.num_envs * self.n_step)), self._one_env(), length=1
        )

    def many(self, first: int, last: int, spread: int = 0) -> Batch:
        """T steps of each of N environments, all from the same step on, or each from up to ``spread`` steps later."""
        order = self.random.permuted(np.tile(np.arange(self.streams), (self.count, 1)), axis=1)
        times = self._rollouts(first, last - self.n_step, (self.count, 1))
        delays = self._rollouts(0, spread, (self.count, self.num_envs))
        return Batch(times + delays, order[:, : self.num_envs], self.n_step)

    def _one_env(self) -> Ints:
        return self.random.integers(self.streams, size=(self.count, 1))

    def _rollouts(self, first: int, last: int, shape: tuple[int, int]) -> Ints:
        """Random multiples of T in [first, last]."""
        low, high = -(-first // self.n_step), last // self.n_step
        return self.n_step * self.random.integers(low, high + 1, shape)


def means(batch: Batch, window_means: Callable[[int], Floats]) -> Floats:
    """Mean of each batch, ``[B]``.

    Args:
        window_means: length -> means of the windows of that length, ``[L, E]``; row t begins at step t.
    """
    return np.asarray(window_means(batch.length)[batch.times, batch.envs].mean(1))
