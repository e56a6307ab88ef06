"""Where a run's time went: shares for its rows, advice for its end, and a profile if the settings ask for one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from a2c.envs.choosing.choose import Plan
from a2c.learning.learner import Learner
from a2c.machine.clock import EVAL, LOOP, OTHER, Clock
from a2c.machine.cores import usable_cores
from a2c.run.timing.advice import Setup, advise
from a2c.run.timing.profiling import Profile
from a2c.settings.config import Config

LEAST_SECONDS = 3.0  # of training before advice means anything: the first rollouts are slower than the rest
FRAME_FLOPS = 5.5e7  # of a frame of 84 x 84 x 4 through nature_cnn, forward and backward


@dataclass(frozen=True, slots=True)
class Ending:
    """What the stopwatch adds to the summary."""

    time: dict[str, float]  # share of each part in the time of training, evaluations included
    advice: list[str]
    trace: str | None


class Stopwatch:
    """Measures the time of one run from the start of its loop.

    Args:
        cfg: the settings.
        learner: its network and device decide the advice.
        clock: the collector's.
        plan: what steps the environments; None where no setting could change it.
        trace: where ``profile=true`` writes.
        notify: called with one line on what the profiler found.
    """

    def __init__(
        self,
        cfg: Config,
        learner: Learner,
        clock: Clock,
        plan: Plan | None,
        trace: Path,
        notify: Callable[[str], None],
    ) -> None:
        self._cfg, self._learner, self._plan, self._trace = cfg, learner, plan, trace
        self._clock = clock
        on_cuda = learner.weights.device.type == "cuda"
        self._profile = Profile(trace, self._clock, on_cuda, notify) if cfg.profile else None
        self._clock.skip()

    def update_ended(self) -> None:
        """An update has ended: the time until the next rollout is not training."""
        self._clock.enter(OTHER)
        if self._profile is not None:
            self._profile.step()
            self._clock.skip()  # writing a trace takes seconds

    def report_begins(self) -> None:
        """Wait for the device before a report; that time still belongs to the update."""
        self._clock.settle()

    @contextlib.contextmanager
    def evaluation(self) -> Iterator[None]:
        """Count the time inside as evaluation."""
        self._clock.enter(EVAL)
        try:
            yield
        finally:
            self._clock.enter(OTHER)

    def metrics(self) -> dict[str, float]:
        """``time/<part>_frac``: shares of the time since the last call, together 1."""
        return {f"time/{part}_frac": share for part, share in self._clock.shares().items()}

    def end(self, env_steps: int) -> Ending:
        """Stop measuring, ``env_steps`` steps after the loop began; returns what there is for the summary."""
        seconds = self._clock.seconds()
        total = sum(seconds.values()) or 1.0
        shares = {part: spent / total for part, spent in seconds.items()}
        enough = sum(seconds[part] for part in LOOP) >= LEAST_SECONDS
        advice = advise(shares, self._cfg, self._setup(env_steps, seconds["env"])) if enough else []
        self.close()
        written = self._profile is not None and self._profile.written
        return Ending(shares, advice, str(self._trace) if written else None)

    def close(self) -> None:
        """End the profile, if :meth:`end` has not done so."""
        if self._profile is not None:
            self._profile.close()

    def _setup(self, env_steps: int, env_seconds: float) -> Setup:
        cfg, plan, learner = self._cfg, self._plan, self._learner
        spaces = learner.model.spaces
        cores, images = usable_cores(), (spaces.image or spaces.images_within) and cfg.network.torso != "mlp"
        return Setup(
            device=str(learner.weights.device),
            cuda=torch.cuda.is_available(),
            cores=cores,
            threads=torch.get_num_threads(),
            vectorization=cfg.vectorization if plan is None else plan.vectorization,
            processes=1 if plan is None else plan.processes(cfg.num_envs),
            main_shard=plan is not None and plan.main_shard,
            native=plan is not None and bool(plan.hint),
            images=images,
            flops=FRAME_FLOPS if images else 6.0 * learner.weights.numel(),
            env_rate=env_steps / max(env_seconds, 1e-9),
        )
