"""Many environments under a frozen policy: their batches are draws of one random gradient."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from a2c.collecting.collector import Collector
from a2c.envs.choosing.plan import plan
from a2c.envs.lockstep import LockstepEnvs
from a2c.envs.make_vector_env import make_vector_env
from a2c.network.protocol import Network
from a2c.rollout import Rollout
from a2c.settings.config import Config

FAR = 1_000_000  # updates between training and draws: none shares seeds or noise with another


class Pool:
    """Environments to make once and play in many draws.

    Args:
        cfg: ``num_envs`` environments, ``n_step`` steps a rollout.
    """

    def __init__(self, cfg: Config) -> None:
        self._cfg, self._envs, self.num_envs = cfg, _Envs(cfg), cfg.num_envs

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._envs.close()

    def play(self, model: Network, draw: int = 0, like: Sequence[int] | None = None) -> Iterator[Rollout]:
        """Yield rollouts without end, from a reset on; each overwrites the last.

        Args:
            model: the policy; it stays frozen.
            draw: every draw has its own seeds and noise.
            like: for each environment, the index of the one whose seed it takes; None: all seeds differ.
                Each always draws its own actions.
        """
        self._envs.like = like
        update = FAR * (draw + 1)
        collector = Collector(self._envs, model, self._cfg, update)
        while True:
            yield collector.collect(update)
            update += 1

    def late(self, model: Network, age: int, draw: int = 0) -> Rollout:
        """The first rollout that starts at least ``age`` steps after the reset."""
        return next(itertools.islice(self.play(model, draw), -(-age // self._cfg.n_step), None))


class _Envs(LockstepEnvs):
    """Environments of which some may start from the same seed."""

    def __init__(self, cfg: Config) -> None:
        super().__init__(make_vector_env(cfg.env, cfg.num_envs, plan(cfg)))
        self.like: Sequence[int] | None = None

    def reset(self, seeds: Sequence[int]) -> Any:
        return super().reset(seeds if self.like is None else [seeds[index] for index in self.like])
