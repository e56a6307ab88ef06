"""Claim: N environments visit more different states, and so find a way out of dead ends."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from a2c.run.showing.style import BLUE, GREEN, GREY, ORANGE, RED, new_figure, tidy
from a2c.study.claim import Claim, Data, Judgement, Number, Verdict
from a2c.study.exploring import TRAPPED, WORLDS, Sampling, Training, prospects, sample
from a2c.study.measures.gradients import Estimate
from a2c.study.measures.paired import ratio
from a2c.study.measures.shares import difference, share
from a2c.study.parallel import each
from a2c.study.settings import StudySettings

BATCH = 80
ENVS = (1, 4, 16)  # N; a batch is N x BATCH / N transitions
BATCHES = 60
USUAL, SHORT = 0.95, 0.5  # lambda; with the second, returns look two steps ahead whatever T
ARMS = {  # N, T and lambda
    "1 × 5": (1, 5, USUAL),
    "4 × 5": (4, 5, USUAL),
    "16 × 5": (16, 5, USUAL),
    "1 × 80, short returns": (1, 80, SHORT),
    "16 × 5, short returns": (16, 5, SHORT),
}
COMPARED = (("1 × 5", "16 × 5"), ("1 × 80, short returns", "16 × 5, short returns"))
STEPS = 10_000  # of a training run
RUNS = 4  # training runs of each kind, for each seed
COLORS = (BLUE, RED, ORANGE, GREEN)
HORIZONS = {"batch": f"within a batch of {BATCH}", "all": "in all batches together"}


def measure(settings: StudySettings) -> Data:
    """The spread of visits for every world, N and seed, and where training ends for every N x T."""
    seeds = settings.all_seeds()
    batches, effort = settings.steps(BATCHES), min(1.0, settings.scale)
    visits = [Sampling(world, ENVS, BATCH, batches, seed, effort) for world in WORLDS for seed in seeds]
    runs = settings.seed * RUNS + np.arange(len(seeds) * settings.steps(RUNS))
    steps = min(STEPS, settings.steps(STEPS))
    training = [Training(*shape, steps, int(seed)) for shape in ARMS.values() for seed in runs]
    tasks: list[Sampling | Training] = [*training, *visits]
    found = iter(each(_do, tasks, settings.jobs))
    return {
        "steps": steps,
        "ends": {arm: [next(found) for _ in runs] for arm in ARMS},  # chances of prize and trap
        "visits": {world: [next(found) for _ in seeds] for world in WORLDS},
    }


def _do(task: Sampling | Training) -> Any:
    if isinstance(task, Training):
        return list(prospects(task))
    return {num_envs: asdict(spread) for num_envs, spread in sample(task).items()}


def judge(data: Data) -> Judgement:
    """Supported: in every world the effective number of states visited is larger with 16 environments than with one,
    within a batch and in all batches; and fewer runs are stuck with 16 environments, against one with the same T and
    against one with the same batch, updates and returns.

    Only under conditions: more states in most worlds, within a batch or in all, or fewer runs stuck in both
    comparisons; and nothing against it, which is fewer states in most worlds, within a batch or in all, or more runs
    stuck in either comparison. Not supported: anything else.

    By 95 % intervals; those of states hold for all worlds of a horizon together (Bonferroni).
    """
    numbers, told, whole, half, against = [], [], [], [], []
    worlds = len(data["visits"])
    together = 1 - 0.05 / worlds
    for horizon, where in HORIZONS.items():
        gains = {world: _gain(data, world, 16, f"{horizon}_states") for world in data["visits"]}
        numbers += [_number(f"{world}: states visited {where}, 16 against 1", gain) for world, gain in gains.items()]
        wide = {world: _gain(data, world, 16, f"{horizon}_states", together) for world in data["visits"]}
        more = [world for world, gain in wide.items() if gain.low > 1.0]
        fewer = [world for world, gain in wide.items() if gain.high < 1.0]
        whole.append(len(more) == worlds)
        half.append(len(more) > worlds / 2)
        against.append(len(fewer) > worlds / 2)
        told.append(f"States visited {where}: more in {_list(more)}; fewer, against the claim, in {_list(fewer)}.")
    stuck, differences = {arm: _stuck(data, arm) for arm in ARMS}, []
    numbers += [_number(f"share of runs stuck, {arm}", one) for arm, one in stuck.items()]
    for one, many in COMPARED:
        less = difference(stuck[one], stuck[many])
        numbers.append(_number(f"share of runs stuck: {one} minus {many}", less))
        differences.append(less)
        answer = "yes" if less.low > 0.0 else "no, more of them" if less.high < 0.0 else "not clearly"
        told.append(f"Fewer runs stuck with {many} than with {one}: {answer}.")
    whole.append(all(less.low > 0.0 for less in differences))
    half.append(whole[-1])
    against += [less.high < 0.0 for less in differences]
    for horizon, where in HORIZONS.items():
        for world in data["visits"]:
            gain = _gain(data, world, 16, f"{horizon}_covered")
            numbers.append(_number(f"{world}: different cells {where}, 16 against 1", gain))
    why = (
        "The criterion: with 16 environments instead of one, more states are visited in every world, within a batch "
        "and in all batches of equally many steps; and fewer runs end stuck in the dead end, also against one "
        "environment with the same batch and as many updates. A condition: more states in most worlds, within a batch "
        "or in all, or fewer runs stuck in both comparisons; but not where fewer states are visited in most worlds, or "
        "more runs are stuck in either comparison. Each is decided by its 95 % interval; for states visited by one of "
        f"{100 * together:.4g} %, since {worlds} worlds are looked at.\n\n" + " ".join(told)
    )
    conditional = any(half) and not any(against)
    verdict = Verdict.SUPPORTED if all(whole) else Verdict.CONDITIONAL if conditional else Verdict.NOT_SUPPORTED
    return Judgement(verdict, why, numbers)


def _list(names: list[str]) -> str:
    return " and ".join(names) or "no world"


def _number(name: str, found: Estimate) -> Number:
    return Number(name, found.value, found.low, found.high)


def _gain(data: Data, world: str, num_envs: int, quantity: str, confidence: float = 0.95) -> Estimate:
    """The quantity with N environments against one, over seeds."""
    many, one = _spread(data, world, num_envs, quantity), _spread(data, world, 1, quantity)
    return ratio(many, one, confidence=confidence)


def _spread(data: Data, world: str, num_envs: int, quantity: str) -> list[float]:
    return [run[str(num_envs)][quantity] for run in data["visits"][world]]


def _stuck(data: Data, arm: str) -> Estimate:
    """The share of runs whose policy all but always ends behind the door."""
    traps = [trap for _, trap in data["ends"][arm]]
    return share(sum(trap > TRAPPED for trap in traps), len(traps))


def draw(data: Data) -> Figure:
    """States visited against N, within a batch and in all; runs stuck by N x T."""
    figure = new_figure(9.0, 6.6)
    grid = figure.add_gridspec(2, 1, height_ratios=[1.15, 1])
    above, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    panels = above.subplots(1, 2, sharey=True)
    for axes, (horizon, where) in zip(panels, HORIZONS.items(), strict=True):
        _draw_visits(axes, data, f"{horizon}_states")
        axes.set_title(where, fontsize=10.5)
    panels[0].set_ylabel("effective number of states visited,\nagainst one environment")
    panels[0].legend(fontsize=9, frameon=False)
    _draw_ends(below.subplots(), data)
    return figure


def _draw_visits(axes: Axes, data: Data, quantity: str) -> None:
    tidy(axes)
    axes.set_xscale("log", base=2)
    for shift, (world, color) in enumerate(zip(data["visits"], COLORS, strict=True)):
        gains = [_gain(data, world, n, quantity) for n in ENVS]
        values = [gain.value for gain in gains]
        reach = [[gain.value - gain.low for gain in gains], [gain.high - gain.value for gain in gains]]
        x = np.asarray(ENVS) * 1.05 ** (shift - 1)
        axes.errorbar(x, values, yerr=reach, color=color, fmt="o-", capsize=3, markersize=4.5, label=world)
    axes.axhline(1, color=GREY, linestyle="--", linewidth=1)
    axes.set_xticks(ENVS, [str(n) for n in ENVS])
    axes.set_xlabel("N environments, equal numbers of steps")


def _draw_ends(axes: Axes, data: Data) -> None:
    tidy(axes)
    found = [_stuck(data, arm) for arm in ARMS]
    places = np.arange(len(found))
    values = [one.value for one in found]
    reach = [[one.value - one.low for one in found], [one.high - one.value for one in found]]
    axes.bar(
        places, values, width=0.55, color=[BLUE if gae_lambda == USUAL else GREY for *_, gae_lambda in ARMS.values()]
    )
    axes.errorbar(places, values, yerr=reach, fmt="none", color="black", capsize=4, linewidth=1)
    updates = [data["steps"] // (n * t) for n, t, _ in ARMS.values()]
    axes.set_xticks(places, [f"{arm}\n{count:,} updates" for arm, count in zip(ARMS, updates, strict=True)])
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of runs that end\nstuck in the dead end")
    axes.set_xlabel(f"environments × steps of a batch, {data['steps']:,} steps in all, 95 % intervals")


CLAIM = Claim(
    key="coverage",
    title="N environments widen state coverage",
    says=(
        "Environments side by side are in different places: together they visit more states than one does, so that "
        "training is less likely to end in a dead end that happens to be near."
    ),
    formula=("H = - Σ_c p_c log p_c, p_c the share of visits to cell c\neffective number of states = exp(H)"),
    method=f"""\
Visits: an untrained policy plays CartPole, Acrobot and a small world with a dead end, and a briefly trained one plays
CartPole. N environments start together and give {BATCHES} batches of N × T = {BATCH} steps, for every N. Observations
fall into the cells of a grid; the small world has its own cells. The effective number of states is the number of cells
that, visited equally often, would have the same entropy. It is taken within each batch, which is all that an update
sees, and over all batches, in which each of N environments gets only 1/N as far.

Dead end: a nearby door leads to a small reward and lets nobody back; the prize is farther away. Every kind makes
{RUNS} runs per seed, of {STEPS:,} steps over all environments. A run is stuck if its last policy ends more than
{TRAPPED:.0%} of episodes behind the door, computed from the known world. N changes more than where the transitions come
from: 16 × 5 makes a 16th of the updates of 1 × 5, each from 16 times the batch. So 16 × 5 is also compared with 1 × 80,
which has as large a batch, as many updates and, with λ = {SHORT}, nearly the same returns.

Intervals: Student's t over seeds, of logarithms; Wilson's and Newcombe's for shares. Tables and figure show 95 %; the
verdict on states visited needs wider ones, which hold for all worlds together.""",
    code=(
        "a2c/study/measures/state_coverage.py: entropy, effective_states, covered",
        "a2c/study/exploring.py: sample, prospects",
        "a2c/study/dead_end.py: DeadEnd, fate",
    ),
    measure=measure,
    judge=judge,
    draw=draw,
)
