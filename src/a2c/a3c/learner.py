"""A worker's learner: it takes the gradient at its own weights and applies it to the shared ones."""

from __future__ import annotations

from torch import Tensor, nn

from a2c.a3c.shared import Shared
from a2c.learning.learner import Learner
from a2c.machine.clock import LoopClock
from a2c.network.protocol import Network
from a2c.rollout import Rollout
from a2c.settings.config import Config


class AsyncLearner:
    """Pull, collect, push: the same update as A2C's, on weights that others change meanwhile.

    Args:
        model: this worker's own copy of the network.
        cfg: the settings.
        shared: what all workers share.
        worker: index of this one.
        clock: where the time goes; None: one of its own.

    Source: Mnih et al. 2016 (A3C), algorithm S3.
    """

    def __init__(
        self, model: Network, cfg: Config, shared: Shared, worker: int, clock: LoopClock | None = None
    ) -> None:
        self._shared, self._worker = shared, worker
        seen = None if model.normalizer is None else shared.normalizer(model.normalizer, worker)
        self.learner = Learner(model, cfg, clock=clock, optimizer=self._open, statistics=seen)
        self.pull()

    def _open(self, cfg: Config, local: nn.Parameter) -> SharedOptimizer:
        self._optimizer = SharedOptimizer(cfg, local, self._shared, self._worker)
        return self._optimizer

    def pull(self) -> None:
        """Copy the shared weights, and the statistics of what all workers have observed."""
        # First the count, then the weights: updates that land during the copy count as lag.
        self._optimizer.pulled = self._shared.updates
        self.learner.weights.data.copy_(self._shared.weights)
        if (normalizer := self.learner.model.normalizer) is not None:
            self._shared.read_normalizer(normalizer)

    def push(self, rollout: Rollout) -> int:
        """Apply the gradient of a rollout, at the weights of the last pull, to the shared weights.

        Returns:
            Its lag tau: how many updates of other workers landed since the pull.

        Raises:
            NumericError: its gradient is not finite; the shared weights did not get it.
        """
        self.learner.update(rollout, self._shared.env_steps)
        self._shared.count_steps(self._worker, rollout.transitions)
        return self._optimizer.lag


class SharedOptimizer:
    """An optimizer of the shared weights that knows how old its gradient is.

    Args:
        cfg: the settings.
        local: a worker's weights, whose gradient it applies.
        shared: holds the weights that it changes.
        worker: index of that worker.
    """

    def __init__(self, cfg: Config, local: nn.Parameter, shared: Shared, worker: int) -> None:
        self._optimizer = shared.optimizer(cfg, local, worker)
        self._shared, self._worker = shared, worker
        self.state = self._optimizer.state
        self.pulled = 0  # updates that had landed at the last pull
        self.lag = 0

    def clip(self, max_norm: Tensor | float | None) -> Tensor:
        """As :meth:`a2c.learning.optimizers.Optimizer.clip`."""
        return self._optimizer.clip(max_norm)

    def step(self, lr: Tensor | float) -> None:
        """As :meth:`a2c.learning.optimizers.Optimizer.step`, on the shared weights; notes the lag of the gradient."""
        self.lag = self._shared.updates - self.pulled
        self._optimizer.step(lr)
        self._shared.count_update(self._worker)
