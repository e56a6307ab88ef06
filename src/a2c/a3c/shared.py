"""What A3C's workers share: weights, statistics and counters, read and written without a lock."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from a2c.learning.learner import Learner
from a2c.learning.optimizers import Optimizer, make_optimizer
from a2c.machine.processes.shared_arrays import Fields, SharedArrays
from a2c.network.flat_weights import gradient_of
from a2c.network.obs_normalizer import ObsNormalizer
from a2c.settings.config import Config

RESTS = -1  # in a worker's cell of ``current``: it rests


class Shared:
    """The memory of all workers; pass it to each as an argument of its process.

    Workers add their steps to the same weights and now and then overwrite one another's, which is Hogwild. Each worker
    writes counts and statistics of observations to its own cell, so none is lost.

    Args:
        learner: the main process's own; the memory takes its shapes.
        workers: how many.
        shared_statistics: one set of optimizer statistics for all workers; False: one for each.

    Attributes:
        current: ``[workers]`` the index of a worker's first environment while it learns, RESTS while it rests.

    Source: Recht et al. 2011 (Hogwild); Mnih et al. 2016 (A3C), section 4, "Optimization".
    """

    def __init__(self, learner: Learner, workers: int, *, shared_statistics: bool = True) -> None:
        self.workers, self._shared_statistics = workers, shared_statistics
        if not shared_statistics:  # in the learner too, because a checkpoint holds those of all workers
            state = learner.optimizer.state
            learner.optimizer.state = {name: one.repeat(workers, *[1] * one.ndim) for name, one in state.items()}
        common = {"weights": learner.weights.data, **_statistics(learner)}
        fields: dict[str, Any] = {name: (tuple(one.shape), one.numpy().dtype) for name, one in common.items()}
        normalizer = learner.model.normalizer
        for name, buffer in ({} if normalizer is None else normalizer.state_dict()).items():
            fields[f"normalizer.{name}"] = ((workers, *buffer.shape), buffer.numpy().dtype)
        counts: Fields = dict.fromkeys(("updates", "env_steps", "current", "due"), ((workers,), np.int64))
        self.arrays = SharedArrays(fields | dict(counts))
        self.current[:] = RESTS

    @property
    def current(self) -> NDArray[np.int64]:
        return self.arrays["current"]

    @property
    def weights(self) -> Tensor:
        """``[W]``: one flat vector, as :func:`a2c.network.flat_weights.flatten_parameters` makes it."""
        return self._tensor("weights")

    @property
    def updates(self) -> int:
        """Updates that have landed."""
        return int(self.arrays["updates"].sum())

    @property
    def env_steps(self) -> int:
        """Transitions that have been learned from."""
        return int(self.arrays["env_steps"].sum())

    @property
    def due(self) -> int:
        """Env steps after which workers rest."""
        return int(self.arrays["due"][0])

    @due.setter
    def due(self, env_steps: int) -> None:
        self.arrays["due"][0] = env_steps

    def updates_of(self, worker: int) -> int:
        """Updates that this worker has made."""
        return int(self.arrays["updates"][worker])

    def count_update(self, worker: int) -> None:
        """Count an update of this worker, which has landed."""
        self.arrays["updates"][worker] += 1

    def count_steps(self, worker: int, transitions: int) -> None:
        """Count transitions that this worker has learned from."""
        self.arrays["env_steps"][worker] += transitions

    def publish(self, learner: Learner, env_steps: int = 0, updates: int = 0) -> None:
        """Copy the state of the main process's learner into the shared memory; no worker may run.

        Args:
            learner: the main process's own.
            env_steps: transitions learned from so far.
            updates: made so far.
        """
        self.weights.copy_(learner.weights.data)
        for name, one in _statistics(learner).items():
            self._tensor(name).copy_(one)
        for name, count in (("env_steps", env_steps), ("updates", updates)):
            self.arrays[name][:] = 0
            self.arrays[name][0] = count
        if (normalizer := learner.model.normalizer) is not None:
            for worker in range(self.workers):
                seen = ObsNormalizer(normalizer.mean.shape) if worker else normalizer
                self.normalizer(normalizer, worker).load_state_dict(seen.state_dict())

    def read_into(self, learner: Learner) -> None:
        """Copy the shared state into the main process's learner."""
        learner.weights.data.copy_(self.weights)
        for name, one in _statistics(learner).items():
            one.copy_(self._tensor(name))
        if learner.model.normalizer is not None:
            self.read_normalizer(learner.model.normalizer)

    def optimizer(self, cfg: Config, local: nn.Parameter, worker: int) -> Optimizer:
        """Make the optimizer that applies the gradient of a worker's ``local`` weights to the shared ones."""
        shared = nn.Parameter(self.weights)
        shared.grad = gradient_of(local)
        optimizer = make_optimizer(cfg, shared)
        for name in optimizer.state:
            rows = self._tensor(f"optimizer.{name}")
            optimizer.state[name] = rows if self._shared_statistics else rows[worker]
        return optimizer

    def normalizer(self, like: ObsNormalizer, worker: int) -> ObsNormalizer:
        """The statistics of what this worker has observed, in shared memory; ``like`` gives their shape."""
        own = ObsNormalizer(like.mean.shape)
        for name in ("mean", "var", "count"):
            setattr(own, name, self._tensor(f"normalizer.{name}")[worker])
        return own

    def read_normalizer(self, into: ObsNormalizer) -> None:
        """Merge the statistics of what all workers have observed; with a single worker they are exactly its own."""
        mean, var, count = (self._tensor(f"normalizer.{name}") for name in ("mean", "var", "count"))
        into.mean.copy_(mean[0])
        into.var.copy_(var[0])
        into.count.copy_(count[0])
        for worker in range(1, self.workers):
            into.merge(mean[worker], var[worker], count[worker])
        into.refresh()

    def _tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])


def _statistics(learner: Learner) -> dict[str, Tensor]:
    return {f"optimizer.{name}": one for name, one in learner.optimizer.state.items()}
