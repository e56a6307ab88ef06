"""Claim: parallelism replaces replay."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from a2c.compose import load_config
from a2c.config import Config
from a2c.evaluation import Evaluator, eval_seeds
from a2c.report.statistics import bootstrap_interval, iqm, iqm_band
from a2c.report.style import BLUE, GREEN, GREY, ORANGE, RED, new_figure, tidy
from a2c.study.batches import trained
from a2c.study.claim import Claim, Data, Judgement, Number, Verdict
from a2c.study.effective_batch import effective_batches
from a2c.study.measures.paired import geometric_mean
from a2c.study.measures.scores import iqm_difference
from a2c.study.memory import Memory, training
from a2c.study.parallel import each
from a2c.study.settings import StudySettings

STEPS = 8_000  # env steps of every run, whatever the method
ENVS, T = 8, 8  # N and T of A2C; T of AC with n steps too
ROWS = ENVS * T  # transitions of a batch from the memory: as large as A2C's
CAPACITY = 1_000  # of the memory: some ten episodes, since nothing corrects for older policies
RATES = [3e-4, 3e-3, 1e-2]
TUNING = 500_000  # how far the seeds that choose a rate are from the others
POINTS, LATE, EPISODES = 6, 3, 5  # evaluations of a run, those that score it, episodes of each
TRAINED, DRAWS = 10_000, 16  # for effective batches: steps of training, batches of each kind


@dataclass(frozen=True, slots=True)
class Method:
    """A way to fill the batch of an update."""

    num_envs: int
    n_step: int
    memory: bool = False
    runs: int = 3  # for every seed of the study, and for every rate that is tried: scores differ much from run to run


METHODS = {
    "AC, one step": Method(1, 1, runs=1),  # the slowest by far, and its scores differ least
    "AC, n steps": Method(1, T),
    "AC with replay": Method(1, T, memory=True),
    "A2C": Method(ENVS, T),
}
ALONE = ("AC, one step", "AC, n steps")


@dataclass(frozen=True, slots=True)
class Run:
    """One training run."""

    method: str
    lr: float
    seed: int
    steps: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """A policy that is trained and kept, and the batches drawn from it."""

    seed: int
    steps: int
    draws: int


def measure(settings: StudySettings) -> Data:
    """Learning rates are chosen by runs on seeds of their own; then every method trains on the study's."""
    steps = settings.steps(STEPS)
    tuning = [
        Run(name, lr, seed, steps)
        for name, method in METHODS.items()
        for lr in RATES
        for seed in seeds(settings.seed + TUNING, method.runs)
    ]
    tuned = list(zip(tuning, each(train, tuning, settings.jobs), strict=True))
    scores = {
        name: [[final(curve) for run, curve in tuned if (run.method, run.lr) == (name, lr)] for lr in RATES]
        for name in METHODS
    }
    chosen = {name: RATES[int(np.argmax(np.mean(scores[name], axis=1)))] for name in METHODS}
    runs = [
        Run(name, chosen[name], seed, steps)
        for name, method in METHODS.items()
        for first in settings.all_seeds()
        for seed in seeds(first, method.runs)
    ]
    found = list(zip(runs, each(train, runs, settings.jobs), strict=True))
    fixed = [Fixed(seed, settings.steps(TRAINED), max(4, settings.steps(DRAWS))) for seed in settings.all_seeds()]
    sizes = each(_effective_batches, fixed, settings.jobs)
    return {
        "env_steps": marks(steps),
        "updates": {name: -(-steps // (method.num_envs * method.n_step)) for name, method in METHODS.items()},
        "rates": RATES,
        "tuning": scores,
        "chosen": chosen,
        "scores": {name: [curve for run, curve in found if run.method == name] for name in METHODS},
        "rows": ROWS,
        "effective": {way: [one[way] for one in sizes] for way in sizes[0]},
    }


def seeds(first: int, runs: int) -> list[int]:
    """Of the runs that belong to one seed of the study, which are not those of its neighbours."""
    return [(first + 1000 * k) % 2**31 for k in range(runs)]


def train(run: Run) -> list[float]:
    """Mean return at each of :func:`marks`, with actions drawn as in training, of one training run."""
    method = METHODS[run.method]
    cfg = replace(config(method), lr=run.lr, seed=run.seed, total_steps=run.steps)
    evaluator, episodes = Evaluator(cfg.env, EPISODES), eval_seeds(run.seed, EPISODES)
    scores: list[float] = []
    due = marks(run.steps)
    try:
        for env_steps, policy in training(cfg, Memory(CAPACITY, run.seed) if method.memory else None, ROWS):
            while len(scores) < POINTS and env_steps >= due[len(scores)]:
                result = evaluator.run(policy, episodes, deterministic=False)
                assert result is not None  # nothing asked it to stop
                scores.append(result.mean)
    finally:
        evaluator.close()
    return scores


def marks(steps: int) -> list[int]:
    """Env steps at which a run is evaluated, the last at its end."""
    return [round(steps * (k + 1) / POINTS) for k in range(POINTS)]


@functools.cache
def config(method: Method) -> Config:
    """CartPole's preset, the same for all methods: n-step returns, and advantages as they are.

    Standardised, the advantage of a batch of one would be 0.
    """
    plain = ("vectorization=sync", "device=cpu", "compile=false", "normalize_advantage=false", "gae_lambda=1")
    return load_config("env=cartpole", *plain, f"num_envs={method.num_envs}", f"n_step={method.n_step}")


def _effective_batches(fixed: Fixed) -> dict[str, float]:
    cfg = replace(config(METHODS["A2C"]), seed=fixed.seed, total_steps=fixed.steps)
    return effective_batches(trained(cfg), cfg, CAPACITY, fixed.draws)


def final(curve: list[float]) -> float:
    """The score of a run: the mean of its last evaluations, since one alone says little."""
    return float(np.mean(curve[-LATE:]))


def finals(data: Data, name: str) -> list[float]:
    """The scores of a method's runs."""
    return [final(curve) for curve in data["scores"][name]]


def judge(data: Data) -> Judgement:
    """Supported if A2C is better than AC alone, with one step and with n, and not worse than AC with replay.

    Conditional if it is better than AC alone, but worse than replay; otherwise not supported. Better and worse: the
    95 % bootstrap interval of the difference of the interquartile means over seeds lies above or below 0.
    """
    gaps = {name: iqm_difference(finals(data, "A2C"), finals(data, name)) for name in METHODS if name != "A2C"}
    better = all(gaps[name].low > 0 for name in ALONE)
    worse = gaps["AC with replay"].high < 0
    verdict = Verdict.NOT_SUPPORTED
    if better:
        verdict = Verdict.CONDITIONAL if worse else Verdict.SUPPORTED
    said = "; ".join(f"{name} by {gap.value:+.0f} [{gap.low:+.0f}, {gap.high:+.0f}]" for name, gap in gaps.items())
    why = (
        "Supported if A2C scores above AC alone, with one step and with n, and not below AC with replay, by the 95 % "
        f"interval of the difference of interquartile means. It leads {said}: it is "
        f"{'' if better else 'not '}shown to be better than both kinds of AC, and {'' if worse else 'not '}shown to be "
        "worse than replay. What is not shown may still be so; a larger scale narrows the intervals."
    )
    numbers = [_score(data, name) for name in METHODS]
    numbers += [Number(f"A2C minus {name}", gap.value, gap.low, gap.high) for name, gap in gaps.items()]
    for way, sizes in data["effective"].items():
        size = geometric_mean(sizes)
        numbers.append(Number(f"effective batch of {data['rows']}, {way}", size.value, size.low, size.high))
    return Judgement(verdict, why, numbers)


def _score(data: Data, name: str) -> Number:
    scores = finals(data, name)
    return Number(f"return, {name} (rate {data['chosen'][name]:g})", iqm(scores), *bootstrap_interval(scores))


def draw(data: Data) -> Figure:
    """Left: learning at equal samples. Right: what a batch of the same size is worth, by where it is from."""
    figure = new_figure(9.0, 4.0)
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    _draw_learning(left, data)
    _draw_batches(right, data)
    return figure


def _draw_learning(axes: Axes, data: Data) -> None:
    tidy(axes)
    for name, colour in zip(METHODS, (GREY, ORANGE, GREEN, BLUE), strict=True):
        middle, low, high = iqm_band(data["scores"][name])
        axes.plot(
            data["env_steps"],
            middle,
            "o-",
            color=colour,
            markersize=3,
            label=f"{name}: {data['updates'][name]:,} updates",
        )
        axes.fill_between(data["env_steps"], low, high, color=colour, alpha=0.12, linewidth=0)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("mean return\n(IQM over seeds, 95 % interval)")
    axes.legend(fontsize=8.5, frameon=False)


def _draw_batches(axes: Axes, data: Data) -> None:
    tidy(axes)
    for place, sizes in enumerate(data["effective"].values()):
        size = geometric_mean(sizes)
        axes.barh(place, size.value, height=0.55, color=BLUE, alpha=0.75)
        axes.plot([size.low, size.high], [place, place], color=GREY, linewidth=1.6)
    axes.axvline(data["rows"], color=RED, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(data["effective"])), list(data["effective"]), fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlabel(f"effective batch, of {data['rows']} transitions")


CLAIM = Claim(
    key="replay",
    title="Parallelism replaces replay",
    says="Batches from parallel environments do for an actor-critic what a replay memory would: at equal samples it "
    "learns better than alone, and no worse than with replay.",
    formula="effective batch = tr Cov[∇L(one transition)] / tr Cov[∇L(batch)]",
    method=f"""\
Four ways to train one network on CartPole with {STEPS:,} steps: one environment with an update every step or every
n = {T} steps (AC), {ENVS} environments with n = {T} (A2C), and one environment whose every {T} steps are followed by an
update from {ROWS} transitions, drawn from the latest {CAPACITY:,} with one-step targets and no correction for older
policies (AC with replay). At equal samples A2C makes an eighth of the updates of the others with n = {T}. The learning
rate of each is the best of {RATES} by the mean score of runs on seeds that are not used again. Every seed then trains
three runs of each, one of AC with one step. A score is the mean of the last {LATE} of a run's {POINTS} evaluations, of
{EPISODES} episodes each with actions drawn as in training.

Beside that, at a fixed policy, the effective batch: how many independent transitions would give a one-step gradient of
the same total variance as {ROWS} consecutive ones of one environment, {ROWS} drawn from its memory, {T} of each of
{ENVS} environments (A2C), or one of each of {ROWS} (all apart).""",
    code=("a2c/trainer.py: train", "a2c/learner.py: Learner", "a2c/study/memory.py: Memory"),
    measure=measure,
    judge=judge,
    draw=draw,
)
