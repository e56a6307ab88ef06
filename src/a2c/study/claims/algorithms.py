"""Claim: A2C is at least as good as A3C, without its lag."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from a2c.run.showing.style import BLUE, GREY, ORANGE, new_figure, tidy
from a2c.run.statistics import bootstrap_interval, iqm, iqm_band
from a2c.settings.compose import load_config
from a2c.study.claim import Claim, Data, Judgement, Number, Verdict
from a2c.study.dead_end import ID as DEAD_END
from a2c.study.measures.gradients import Estimate, mean_interval
from a2c.study.plain_settings import PLAIN_A2C
from a2c.study.race import run
from a2c.study.settings import StudySettings

TOGETHER = 4  # environments of A2C, workers of A3C
POINTS = 20  # of a curve
PLAIN = (
    "n_step=8",
    "max_grad_norm=40",
    "normalize_advantage=false",
    "device=cpu",
    "vectorization=sync",
    "compile=false",
)
METHODS = {  # who acts together; all else is the same
    "AC": ("algo=a2c", "num_envs=1"),
    "A3C": ("algo=a3c", "num_envs=1", f"num_workers={TOGETHER}"),
    "A2C": ("algo=a2c", f"num_envs={TOGETHER}"),
}
SETUPS: dict[str, tuple[tuple[str, ...], int]] = {  # settings, env steps at scale 1
    "CartPole": (("env=cartpole_study",), 30_000),
    "Dead end": ((f"env.id={DEAD_END}", *PLAIN_A2C, "optimizer=adam", "lr=0.003", "beta=0.03"), 10_000),
}
COLOURS = {"AC": GREY, "A3C": ORANGE, "A2C": BLUE}
MARGIN = 0.1  # of the better score: a smaller difference does not matter


def measure(settings: StudySettings) -> Data:
    """One run after the other, so that each has all cores; the methods take turns."""
    data: Data = {}
    for name, (overrides, steps) in SETUPS.items():
        runs: dict[str, list[Any]] = {method: [] for method in METHODS}
        for seed in settings.all_seeds():
            for method, how in METHODS.items():
                # algo= brings the settings of its preset, which the common ones then override.
                total = f"total_steps={settings.steps(steps)}"
                cfg = load_config(*overrides, *PLAIN, *how, f"seed={seed}", total)
                runs[method].append(asdict(run(cfg, POINTS)))
        data[name] = runs
    return data


def scores(runs: list[Data]) -> NDArray[np.float64]:
    """Scores ``[S]`` of the last policy of every seed."""
    return np.asarray([one["score"] for one in runs], dtype=np.float64)


def returns_at(runs: list[Data], seconds: float) -> NDArray[np.float64]:
    """Training returns ``[S]`` of every seed after so many seconds; before its first point, that of the first."""
    return np.asarray([np.interp(seconds, one["seconds"], one["returns"]) for one in runs], dtype=np.float64)


def differences(setup: Data) -> dict[str, tuple[Estimate, float]]:
    """A2C minus A3C at equal env steps and at equal time, over pairs of one seed; each with the margin that matters."""
    a2c, a3c = setup["A2C"], setup["A3C"]
    together = min(float(np.median([one["seconds"][-1] for one in runs])) for runs in (a2c, a3c))
    pairs = {"steps": (scores(a2c), scores(a3c)), "time": (returns_at(a2c, together), returns_at(a3c, together))}
    return {
        name: (mean_interval(ours - theirs), MARGIN * float(max(abs(ours.mean()), abs(theirs.mean()))))
        for name, (ours, theirs) in pairs.items()
    }


def judge(data: Data) -> Judgement:
    """A2C is at least as good where the interval of its difference to A3C stays above minus the margin.

    Judged at equal env steps (score of the last policy) and at equal time (training return when the quicker one is
    done), on each environment: supported if in all of these, conditional if in some. Not supported if in none.
    """
    numbers: list[Number] = []
    as_good: list[str] = []
    worse: list[str] = []
    undecided: list[str] = []
    for name, setup in data.items():
        for method, runs in setup.items():
            found = scores(runs)
            numbers.append(Number(f"{name}: score of {method} (IQM)", iqm(found), *bootstrap_interval(found)))
        for axis, (difference, margin) in differences(setup).items():
            numbers.append(
                Number(f"{name}: A2C less A3C at equal {axis}", difference.value, difference.low, difference.high)
            )
            where = f"{name} at equal {axis}"
            (as_good if difference.low > -margin else worse if difference.high < 0 else undecided).append(where)
    verdict = Verdict.CONDITIONAL if as_good else Verdict.NOT_SUPPORTED
    if not worse and not undecided:
        verdict = Verdict.SUPPORTED
    why = (
        f"A2C counts as at least as good where the 95 % interval of its difference to A3C stays above minus "
        f"{MARGIN:.0%} of the better one's return; supported if so on every environment, at equal env steps and at "
        f"equal time. As good: {_listed(as_good)}. Worse: {_listed(worse)}. Undecided by so few runs: "
        f"{_listed(undecided)}."
    )
    return Judgement(verdict, why, numbers)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "nowhere"


def draw(data: Data) -> Figure:
    """A row for each environment: return against env steps, and against seconds of training."""
    figure = new_figure(8.4, 3.0 * len(data))
    panels = figure.subplots(len(data), 2, squeeze=False, sharey="row")
    for row, (name, setup) in zip(panels, data.items(), strict=True):
        for method, runs in setup.items():
            _draw_curves(row[0], runs, "steps", COLOURS[method], method)
            _draw_curves(row[1], runs, "seconds", COLOURS[method], method)
        row[0].set_ylabel(f"{name}\nreturn of 100 episodes")
        row[0].legend(fontsize=8.5, frameon=False, loc="upper left")
    panels[-1][0].set_xlabel("environment steps")
    panels[-1][1].set_xlabel("seconds of training")
    return figure


def _draw_curves(axes: Axes, runs: list[Data], along: str, colour: str, label: str) -> None:
    """IQM over seeds with its interval, on a common grid as far as the quickest run goes."""
    tidy(axes)
    first, last = max(one[along][0] for one in runs), min(one[along][-1] for one in runs)
    grid = np.linspace(min(first, last), last, 50)
    middle, low, high = iqm_band([np.interp(grid, one[along], one["returns"]) for one in runs])
    axes.plot(grid, middle, color=colour, linewidth=1.6, label=label)
    axes.fill_between(grid, low, high, color=colour, alpha=0.15, linewidth=0)


CLAIM = Claim(
    key="algorithms",
    title="A2C is at least as good as A3C",
    says="Letting workers wait for one another loses nothing: the synchronous algorithm learns at least as well as the "
    "asynchronous one, in env steps and in time.",
    formula="AC: one environment\nA3C: θ ← θ - α g_i(θ_i), each worker i alone\nA2C: θ ← θ - α (1/N) Σ_i g_i(θ)",
    method=f"AC with one environment, A3C with {TOGETHER} workers and A2C with {TOGETHER} environments train the same "
    "network on the same seeds, with the same rollout length, optimizer, clipping (at 40, as is usual for A3C) and "
    "learning rate, which falls with the env steps of all. The settings are env=cartpole_study, which was tuned for "
    "A2C with 8 environments, without standardised advantages, since their gradient is no mean over environments. "
    "A3C and AC make four updates where A2C makes one. Runs follow one another: A3C's workers may use every core, "
    "AC and A2C use one. The time to start processes does not count.\n\n"
    "At equal env steps the score counts: the mean return of 20 fresh episodes of the last policy, with sampled "
    "actions. At equal time, which is when the quicker of A3C and A2C has finished, the mean return of the latest 100 "
    "training episodes counts. Differences are over pairs of one seed, with Student's t; curves show interquartile "
    "means with bootstrap intervals. On another number of cores the comparison in time comes out differently.",
    code=(
        "a2c/trainer.py: train",
        "a2c/a3c/loop.py: train",
        "a2c/a3c/worker.py: report_periods",
        "a2c/study/race.py: run",
    ),
    measure=measure,
    judge=judge,
    draw=draw,
)
