"""Claim: parallelism replaces replay."""

from __future__ import annotations

from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from a2c.run.showing.style import BLUE, GREEN, GREY, ORANGE, RED, new_figure, tidy
from a2c.run.statistics import bootstrap_interval, iqm, iqm_band
from a2c.study.batches import trained
from a2c.study.claim import Claim, Data, Judgement, Number, Verdict
from a2c.study.contenders import (
    CAPACITY,
    ENVS,
    EPISODES,
    LATE,
    METHODS,
    POINTS,
    ROWS,
    STEPS,
    Run,
    T,
    config,
    final,
    marks,
    rate,
    train,
)
from a2c.study.effective_batch import effective_batches
from a2c.study.measures.paired import geometric_mean
from a2c.study.measures.scores import iqm_difference
from a2c.study.parallel import each
from a2c.study.settings import StudySettings

TRAINED, DRAWS = 10_000, 16  # for effective batches: steps of training, batches of each kind
ALONE = ("AC, one step", "AC, n steps")
MARGIN = 0.1  # of the score with replay: a smaller difference does not matter


@dataclass(frozen=True, slots=True)
class Fixed:
    """A policy that is trained and frozen, and the batches drawn from it."""

    seed: int
    steps: int
    draws: int


def measure(settings: StudySettings) -> Data:
    """A smaller scale shortens the runs; a larger one trains more of them, as long as those that chose the rates."""
    shorter = min(settings.scale, 1.0)
    steps, trained_for = max(1, round(STEPS * shorter)), max(1, round(TRAINED * shorter))
    runs = [
        Run(name, rate(name), 100 * seed + k, steps)
        for name, method in METHODS.items()
        for seed in settings.all_seeds()
        for k in range(settings.steps(method.runs))
    ]
    found = list(zip(runs, each(train, runs, settings.jobs), strict=True))
    fixed = [Fixed(seed, trained_for, max(4, settings.steps(DRAWS))) for seed in settings.all_seeds()]
    sizes = each(_effective_batches, fixed, settings.jobs)
    return {
        "env_steps": marks(steps),
        "updates": {name: -(-steps // (method.num_envs * method.n_step)) for name, method in METHODS.items()},
        "rates": {name: rate(name) for name in METHODS},
        "scores": {name: [curve for run, curve in found if run.method == name] for name in METHODS},
        "rows": ROWS,
        "effective": {way: [one[way] for one in sizes] for way in sizes[0]},
    }


def _effective_batches(fixed: Fixed) -> dict[str, float]:
    cfg = replace(config(METHODS["A2C"]), seed=fixed.seed, total_steps=fixed.steps)
    return effective_batches(trained(cfg), cfg, CAPACITY, fixed.draws)


def finals(data: Data, name: str) -> list[float]:
    """The scores of a method's runs."""
    return [final(curve) for curve in data["scores"][name]]


def judge(data: Data) -> Judgement:
    """Supported if A2C is better than AC alone, with one step and with n, and as good as AC with replay.

    Conditional if one of the two holds, otherwise not supported. Better: the 95 % bootstrap interval of the difference
    of the interquartile means over runs lies above 0. As good: it lies above minus a tenth of the score with replay.
    """
    gaps = {name: iqm_difference(finals(data, "A2C"), finals(data, name)) for name in METHODS if name != "A2C"}
    better = all(gaps[name].low > 0 for name in ALONE)
    as_good = gaps["AC with replay"].low > -MARGIN * iqm(finals(data, "AC with replay"))
    verdict = {0: Verdict.NOT_SUPPORTED, 1: Verdict.CONDITIONAL, 2: Verdict.SUPPORTED}[better + as_good]
    said = "; ".join(f"{name} by {gap.value:+.0f} [{gap.low:+.0f}, {gap.high:+.0f}]" for name, gap in gaps.items())
    why = (
        "Supported if A2C scores above AC alone, with one step and with n, and at least as high as AC with replay (the "
        f"interval of the difference of interquartile means above minus {MARGIN:.0%}); only under conditions if one of "
        f"the two holds. It leads {said}: it is {'' if better else 'not '}shown to be better than both kinds of AC, "
        f"and {'' if as_good else 'not '}shown to be as good as replay."
    )
    numbers = [_score(data, name) for name in METHODS]
    numbers += [Number(f"A2C minus {name}", gap.value, gap.low, gap.high) for name, gap in gaps.items()]
    for way, sizes in data["effective"].items():
        size = geometric_mean(sizes)
        numbers.append(Number(f"effective batch of {data['rows']}, {way}", size.value, size.low, size.high))
    return Judgement(verdict, why, numbers)


def _score(data: Data, name: str) -> Number:
    scores = finals(data, name)
    return Number(f"return, {name} (rate {data['rates'][name]:g})", iqm(scores), *bootstrap_interval(scores))


def draw(data: Data) -> Figure:
    """Left: learning at equal samples. Right: what a batch of the same size is worth, by where it comes from."""
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
    "learns better than alone, and as well as with replay.",
    formula="effective batch = tr Cov[∇L(one transition)] / tr Cov[∇L(batch)]",
    method=f"""\
Four ways to train one network on CartPole with {STEPS:,} steps: one environment with an update every step or every
n = {T} steps (AC), {ENVS} environments with n = {T} (A2C), and one environment with an update after every {T} steps,
from {ROWS} transitions that are drawn from the latest {CAPACITY:,}, with one-step targets and no correction for older
policies (AC with replay). At equal samples A2C makes an eighth of the updates of the others with n = {T}. Each way has
the best of the same six learning rates, from 0.0001 to 0.03, chosen by 6 to 24 runs at each rate on separate seeds;
gradients are not clipped. Every seed trains six runs of A2C, two of AC with one step and three of each other way. A
score is the mean of a run's last {LATE} of {POINTS} evaluations, of {EPISODES} episodes each, with sampled actions.

Besides, with a frozen policy, the effective batch: how many independent transitions would give a one-step gradient of
the same total variance as {ROWS} consecutive ones of one environment, {ROWS} drawn from its memory, {T} of each of
{ENVS} environments (A2C), or one of each of {ROWS} (all apart).""",
    code=(
        "a2c/learning/learner.py: Learner",
        "a2c/study/replay_memory.py: Memory",
        "a2c/study/contenders.py: METHODS, tune",
    ),
    measure=measure,
    judge=judge,
    draw=draw,
)
