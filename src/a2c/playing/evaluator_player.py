"""What the process that evaluates has: environments, a network and a policy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gymnasium as gym
import torch
from numpy.typing import NDArray
from torch import Tensor

from a2c.errors import A2CError
from a2c.network.flat_weights import flatten_parameters
from a2c.network.protocol import Network
from a2c.playing.evaluation import EvalResult, Evaluator
from a2c.playing.policy import Policy
from a2c.settings.config import Config

NONE_RUNS = -1  # in ``current``


class Player:
    """Plays the episodes of one evaluation after the other with the same environments and network.

    Args:
        cfg: the settings.
        make_network: makes the network on the CPU.
        episodes: as in :class:`a2c.playing.evaluation.Evaluator`.
        threads: of torch, in the whole process.
        current: ``[1]`` int64, the environment that runs now, or ``NONE_RUNS``.
        beats: ``[1]`` int64, calls of environments so far.
        stop: ``[1]`` int64, 1 ends the evaluation before the next step.
        over: ``[1]`` int64, episodes of this evaluation that have ended.

    Raises:
        ConfigError, EnvironmentFailure: as :class:`a2c.playing.evaluation.Evaluator`.
    """

    def __init__(
        self,
        cfg: Config,
        make_network: Callable[[], Network],
        episodes: int,
        threads: int,
        current: NDArray[Any],
        beats: NDArray[Any],
        stop: NDArray[Any],
        over: NDArray[Any],
    ) -> None:
        torch.set_num_threads(threads)
        self._stop, self._over = stop, over
        # The main process holds us to env.step_timeout, also where an alarm could not: in C.
        self._evaluator = Evaluator(replace(cfg.env, step_timeout=None), episodes, cfg.eval.max_steps)
        envs = [_Watched(env, index, current, beats) for index, env in enumerate(self._evaluator.envs)]
        self._evaluator.envs = list(envs)
        self._network: Network = make_network()
        flatten_parameters(self._network)  # as in the main process: sums may depend on where in memory numbers lie
        self._network.train(False)
        torch.set_num_threads(threads)  # an environment's module may have set others
        self._policy = Policy(self._network, cfg)

    def play(self, weights: dict[str, Tensor], seeds: list[int]) -> EvalResult | A2CError | None:
        """The scores, or what an environment did: plain text, its traceback as a note, so that it crosses whole."""
        self._network.load_state_dict(weights)
        try:
            over, stop = self._over, self._stop
            return self._evaluator.run(
                self._policy, seeds, stop=lambda: bool(stop[0]), ended=lambda count: over.__setitem__(0, count)
            )
        except A2CError as error:
            return error

    def close(self) -> None:
        """Close the environments."""
        self._evaluator.close()


class _Watched(gym.Wrapper[Any, Any, Any, Any]):
    """Lets the main process see which environment runs, and whether it gets on."""

    def __init__(self, env: gym.Env[Any, Any], index: int, current: NDArray[Any], beats: NDArray[Any]) -> None:
        super().__init__(env)
        self._index, self._current, self._beats = index, current, beats

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        with self._running():
            return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        with self._running():
            return self.env.step(action)

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        self._beats[0] += 1
        self._current[0] = self._index
        try:
            yield
        finally:  # what it raises is told as its own failure, not as that of an environment that hangs
            self._current[0] = NONE_RUNS
