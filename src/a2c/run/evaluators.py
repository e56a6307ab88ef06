"""Who plays the episodes of a run's evaluations: this process, or one of its own beside it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from a2c.envs.single.make_env import has_time_limit
from a2c.envs.spaces import Spaces
from a2c.errors import EnvironmentFailure
from a2c.machine.cores import usable_cores
from a2c.machine.device import resolve_device
from a2c.machine.processes.foreign_code import GaveUpError, foreign, of_others
from a2c.network.making import OwnNetwork, make_network
from a2c.network.protocol import Network
from a2c.playing.evaluation import EvalResult, Evaluator, eval_seeds
from a2c.playing.evaluator_process import EvaluatorProcess
from a2c.playing.policy import Policy
from a2c.run.evaluation_ways import abreast, apart_at_once, same_network
from a2c.settings.config import Config
from a2c.storage.checkpoint import frozen

# Starting a process costs about so much, mostly for loading torch. Once evaluations have cost as much, expect as much
# again, and start it: the rule of ski rental, which costs at worst twice what the better choice would have.
START_SECONDS = 2.0


class Plays(Protocol):
    """Who plays the episodes of evaluations in place: an :class:`Evaluator`, or all ranks."""

    @property
    def limit(self) -> int | None: ...
    def run(
        self, policy: Policy, seeds: list[int], *, stop: Callable[[], bool], ended: Callable[[int], object]
    ) -> EvalResult | None: ...
    def close(self) -> None: ...


class Evaluators:
    """The evaluator of this process or that of its own process, as ``eval.apart`` says.

    Both give the same scores, bit for bit on the CPU, so that ``auto`` may change over when it likes.

    Args:
        cfg: the settings.
        stop: whether the run is to end; it ends evaluations early.
        notify: called with one line when ``auto`` cannot have a process, and about episodes that were cut.
        show: called with how many episodes have ended and how many there are, while training waits for them.
        network: makes a network of the user's.
        here: gives who plays in place, where that is not this process alone; ``auto`` then stays in place, unless all
            evaluations belong apart.

    Raises:
        ConfigError, EnvironmentFailure: as :func:`a2c.envs.make_env`; where the process begins at once, it is the first
            evaluation that raises.
    """

    def __init__(
        self,
        cfg: Config,
        stop: Callable[[], bool],
        notify: Callable[[str], None],
        show: Callable[[int, int], None] = lambda ended, episodes: None,
        network: OwnNetwork | None = None,
        here: Callable[[], Plays] | None = None,
    ) -> None:
        self._own = network
        self._cfg, self._stop, self._notify, self._show = cfg, stop, notify, show
        self.off = cfg.eval.episodes == 0
        self._abreast = abreast(cfg, max(cfg.eval.episodes, cfg.eval.final_episodes))
        self._evaluator = here or partial(of_others, Evaluator, cfg.env, self._abreast, cfg.eval.max_steps)
        # The only evaluation of a run chooses nothing, so that its score is the final one.
        self._once = cfg.eval.every == 0
        self._final_seeds = eval_seeds(cfg.seed, cfg.eval.final_episodes, final=True)
        self._seeds = self._final_seeds if self._once else eval_seeds(cfg.seed, cfg.eval.episodes)
        self._latest: tuple[int, EvalResult | None] = (-1, None)  # env steps of the weights, and their scores
        self._process: EvaluatorProcess | None = None
        self._may_start = cfg.eval.apart == "auto" and here is None
        self._spent = 0.0  # seconds of evaluation in this process
        self._at_once = apart_at_once(cfg)
        self._here: Plays | None = None
        if not (self._at_once or self.off):
            self._here = self._evaluator()  # a bad environment fails early
        if not (self.off or has_time_limit(cfg.env) or (self._here is not None and self._here.limit is None)):
            most = f"{cfg.eval.max_steps:,}"
            notify(f"{cfg.env.id} has no time limit: evaluations cut episodes at {most} steps (eval.max_steps)")

    def open(self, spaces: Spaces) -> None:
        """Begin the process if it is wanted from the start; it makes itself ready in the background."""
        self.make_network = partial(make_network, self._cfg, spaces, self._own)
        if self._at_once and not self.off:
            self._start()

    def ready_apart(self) -> bool:
        """Whether the process takes the next evaluation; waits until it is ready, unless the run is to end."""
        if self._process is None or self._stop():
            return False
        try:
            if not self._process.wait_until_ready(self._stop):
                return False
        except Exception as error:
            self._stay_here(error)
            return False
        self._close_here()  # the process has environments of its own
        return True

    def begin(self, weights: Mapping[str, Tensor], env_steps: int) -> None:
        """Begin an evaluation in the process (:meth:`ready_apart`).

        Args:
            weights: the network's state, frozen.
            env_steps: that they have learned from.
        """
        assert self._process is not None
        self._latest = (env_steps, None)
        self._process.begin(weights, self._seeds)

    def result(self, wait: bool) -> EvalResult | None:
        """The scores of the evaluation that has begun; None: not there yet or, having waited, the run is to end.

        Raises:
            EnvironmentFailure, NumericError: as :meth:`EvaluatorProcess.result`.
        """
        assert self._process is not None
        result = self._process.result(None)  # what is there counts, also where the run is to end
        if result is None and wait:
            result = self._awaited(self._process, len(self._seeds))
        self._latest = (self._latest[0], result)
        return self._told(result)

    def break_off(self) -> None:
        """End the process, and the evaluation that it is at."""
        if self._process is not None:
            self._process.close(terminate=foreign.gave_up)
            self._process = None

    def here(self, network: Network, env_steps: int) -> EvalResult | None:
        """Evaluate the network in this process; None if the run is to end.

        Raises:
            EnvironmentFailure, NumericError: as :meth:`a2c.playing.evaluation.Evaluator.run`.
        """
        begin = time.perf_counter()
        network.train(False)  # a user's own may hold dropout or batch statistics
        result = self._run_here(Policy(network, self._cfg), self._seeds)
        network.train(True)
        self._latest = (env_steps, result)
        self._spent += time.perf_counter() - begin
        cfg = self._cfg
        goes_on = cfg.eval.every > 0 and env_steps + cfg.eval.every < cfg.total_steps  # not beside the last one
        # Where torch has threads on all cores, as for a cnn, evaluations in place use them all too.
        core_left = usable_cores() > torch.get_num_threads()
        if self._may_start and goes_on and core_left and self._spent > START_SECONDS:
            self._start()
        return result

    def final(self, best: Policy) -> EvalResult | None:
        """The final score of a policy, by whoever has environments; None if the run is to end."""
        seeds, (env_steps, result) = self._final_seeds, self._latest
        if self._once and result is not None and env_steps == best.env_steps:
            return result
        if self._at_once and not same_network(self._cfg, best.cfg):
            self.break_off()
            self.make_network = partial(make_network, best.cfg, best.model.spaces, self._own)
            self._start()
        if (self._at_once or same_network(self._cfg, best.cfg)) and self.ready_apart():
            assert self._process is not None
            self._process.begin(frozen(best.model.state_dict()), seeds)
            return self._told(self._awaited(self._process, len(seeds)))
        return self._run_here(best, seeds)

    def close(self) -> None:
        """Close the environments and end the process."""
        self._close_here()
        self.break_off()

    def _close_here(self) -> None:
        """Close the environments in this process; in a run that is to end, do not wait long for them."""
        if self._here is not None:
            with contextlib.suppress(GaveUpError):
                of_others(self._here.close)
            self._here = None

    def _run_here(self, policy: Policy, seeds: list[int]) -> EvalResult | None:
        if self._stop():
            return None
        if self._cfg.env.isolate:  # the process could not be had, or died
            raise EnvironmentFailure("env.isolate=true needs a process for evaluations, and there is none")
        if self._here is None:
            self._here = self._evaluator()
        self._show(0, len(seeds))
        ended = partial(self._ended, len(seeds))
        try:
            return self._told(of_others(self._here.run, policy, seeds, stop=self._stop, ended=ended))
        except GaveUpError:
            self._close_here()
            return None

    def _ended(self, episodes: int, ended: int) -> None:
        self._show(ended, episodes)

    def _awaited(self, process: EvaluatorProcess, episodes: int) -> EvalResult | None:
        """The scores of the process, once they are there; None if the run is to end."""

        def stop() -> bool:
            self._show(process.over, episodes)
            return self._stop()

        result = process.result(stop)
        self._show(episodes, episodes)
        return result

    def _told(self, result: EvalResult | None) -> EvalResult | None:
        if result is not None and result.cut:
            self._notify(f"evaluation: {result.cuts(self._cfg.eval.max_steps)}")
        return result

    def _start(self) -> None:
        self._may_start = False
        # On the CPU as many threads as here: sums depend on that. Beside a GPU scores need not match to the bit.
        on_cpu = resolve_device(self._cfg.device).type == "cpu"
        threads = torch.get_num_threads() if on_cpu else self._cfg.threads or 1
        try:
            self._process = EvaluatorProcess(self._cfg, self.make_network, self._abreast, threads)
        except Exception as error:
            self._stay_here(error)

    def _stay_here(self, error: Exception) -> None:
        """No process can be had: an error for who asked for it; ``auto`` does without."""
        if self._cfg.eval.apart != "auto" or self._cfg.env.isolate:
            raise error
        self.break_off()
        why = next(iter(str(error).splitlines()), "") or type(error).__name__
        self._notify(f"evaluations stay in this process: {why}")
