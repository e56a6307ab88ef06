"""Sweeps whose trainings only leave a run folder: what is proposed, told and left shows in moments."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna

from a2c.sweeps.search import open_study
from a2c.sweeps.sweep_file import Parameter, Sweep
from a2c.sweeps.sweeping import Outcome, search
from a2c.sweeps.trial_runs import Plan
from past_runs import past_run

GRID = Sweep(
    name="grid",
    method="grid",
    metric="eval/mean_reward",
    maximize=True,
    overrides=("env=cartpole",),
    parameters={"lr": Parameter(("0.1", "0.2")), "n_step": Parameter(("5", "8", "16"))},
    halving=None,
    cap=None,
)
BAYES = Sweep(
    name="bayes",
    method="bayes",
    metric="eval/mean_reward",
    maximize=True,
    overrides=("env=cartpole",),
    parameters={"lr": Parameter(low=1e-4, high=1e-1, log=True), "n_step": Parameter(low=1, high=64, whole=True)},
    halving=None,
    cap=None,
)


class Trainings:
    """Stands in for ``train``: notes what it is told, and leaves a run whose score follows from its settings."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.codes: dict[int, int] = {}  # of the i-th training
        self.scores: Callable[[dict[str, str]], float] = lambda told: float(told["n_step"])
        self.interrupt: int | None = None  # the training during which a signal arrives
        self.waits: int | None = None  # the training that goes on until it is stopped

    def train(self, folder: Path, overrides: Sequence[str], stop: Callable[[], int]) -> int:
        count = len(self.told)
        self.told.append(list(overrides))
        settings = dict(text.split("=", 1) for text in overrides)
        if self.interrupt == count:
            os.kill(os.getpid(), signal.SIGTERM)
        if count in (self.interrupt, self.waits):
            while not stop():
                time.sleep(0.01)
            return 143
        code = self.codes.get(count, 0)
        folder.with_suffix(".log").write_text("began\nenvironment error: boom\n")
        if code == 0:
            name = str(folder.relative_to(Path("runs").resolve()))
            past_run(name, scores=[1.0], final=self.scores(settings))
        return code


def do(
    sweep: Sweep, trials: int, *, seeds: int = 1, jobs: int = 1, hours: float | None = None
) -> tuple[optuna.Study, Outcome, list[str]]:
    """Search in ``runs/sweep``, or go on there; the study, how it ended, and the lines that it told."""
    study, told = open_study(sweep, made()), []
    outcome = search(study, Plan(sweep, made(), trials, seeds, jobs, seed=0, hours=hours), told.append)
    return study, outcome, told


def made() -> Path:
    """The folder of the sweep."""
    folder = Path("runs/sweep").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return folder
