"""Claim: A3C's gradients lag behind the weights that they change, A2C's do not."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from a2c.a3c.loop import build, of_worker
from a2c.a3c.team import Team
from a2c.playing.evaluation import evaluate
from a2c.playing.policy import Policy
from a2c.run.showing.style import BLUE, GREEN, GREY, ORANGE, RED, new_figure, tidy
from a2c.run.state import TrainState
from a2c.settings.compose import load_config
from a2c.settings.config import Config
from a2c.study.claim import Claim, Data, Judgement, Number, Verdict
from a2c.study.drawing import scores_at
from a2c.study.measures.gradients import Estimate, mean_interval
from a2c.study.parallel import each
from a2c.study.settings import StudySettings
from a2c.study.stale import chance_workers, delayed

WORKERS = [1, 2, 4, 8]
STEPS = 4_000  # of a Hogwild run, for each of its stretches
CHANCE_WORKERS, PUSHES = 16, 1_500
EDGES = [0, 1, 2, 4, 8, 16, 32, 64]  # of the bins of lags: each goes up to the next edge
DELAYS = [0, 4, 16, 64]
DELAYED_STEPS = 30_000
EPISODES = 20  # to score the policy that training ends with
COLOURS = (GREY, GREEN, BLUE, ORANGE)
PLAIN = ("env=cartpole_study", "device=cpu", "vectorization=sync", "compile=false")


@dataclass(frozen=True, slots=True)
class Task:
    """What one process measures: ``size`` pushes of ``of`` workers, or ``size`` env steps with a delay of ``of``."""

    what: str
    seed: int
    size: int
    of: int


def measure(settings: StudySettings) -> Data:
    """Real workers, one team after another; then the gradients and the delays, side by side."""
    real = {str(workers): _real_lags(settings, workers) for workers in WORKERS}
    seeds = settings.all_seeds()
    pushes = [Task("cosines", seed, settings.steps(PUSHES), CHANCE_WORKERS) for seed in seeds]
    delays = [Task("delay", seed, settings.steps(DELAYED_STEPS), delay) for delay in DELAYS for seed in seeds]
    found = each(_measure, [*pushes, *delays], settings.jobs)
    scores = iter(found[len(pushes) :])
    return {
        "workers": WORKERS,
        "real": real,  # [stretches]{mean, pushes [lag]}
        "cosines": found[: len(pushes)],  # [S]{lags, cosines}
        "delays": DELAYS,
        "scores": [[next(scores) for _ in seeds] for _ in DELAYS],  # [D][S]
    }


def _real_lags(settings: StudySettings, workers: int) -> list[Data]:
    """Mean lag, and pushes by lag, of real processes, in each stretch of one run; as many stretches as seeds."""
    cfg = load_config(*PLAIN, "algo=a3c", f"num_workers={workers}", f"seed={settings.seed}")
    learner, stretch = build(cfg), settings.steps(STEPS)
    cfg = replace(of_worker(cfg), total_steps=stretch * (settings.seeds + 1))
    state, found = TrainState(), []
    with Team(cfg, learner, workers) as team:
        team.start(state)
        for _ in range(settings.seeds + 1):
            state = team.learn(state, state.env_steps + stretch, lambda env_steps: False)
            metrics = team.metrics()
            found.append({"mean": metrics["train/lag_mean"], "pushes": metrics["train/lag_histogram"]})
    return found[1:]  # the first warms up


def _measure(task: Task) -> Any:
    return {"cosines": _cosines, "delay": _delay}[task.what](task)


def _cosines(task: Task) -> Data:
    cfg = _config("algo=a3c", f"seed={task.seed}", f"total_steps={task.size * 8}")
    pushes = list(chance_workers(cfg, task.of, task.size))
    return {"lags": [push.lag for push in pushes], "cosines": [push.cosine for push in pushes]}


def _delay(task: Task) -> float:
    cfg = _config(f"seed={task.seed}", f"total_steps={task.size}")
    return evaluate(Policy(delayed(cfg, task.of).model, cfg), EPISODES, deterministic=False).mean


def _config(*overrides: str) -> Config:
    return load_config(*PLAIN, *overrides)


def mean_lags(data: Data, workers: int) -> list[float]:
    """The mean lag of every stretch of a team."""
    return [one["mean"] for one in data["real"][str(workers)]]


def binned(data: Data) -> dict[int, tuple[Estimate, int]]:
    """Mean cosine and number of pushes in each bin where every seed has some; Student's t over seeds."""
    found = {}
    for low, high in zip(EDGES, [*EDGES[1:], np.inf], strict=True):
        runs = [(np.asarray(run["lags"]), np.asarray(run["cosines"])) for run in data["cosines"]]
        means = [cosines[(lags >= low) & (lags < high)] for lags, cosines in runs]
        if all(len(cosines) for cosines in means):
            found[low] = mean_interval([cosines.mean() for cosines in means]), sum(map(len, means))
    return found


def usual(data: Data) -> tuple[Estimate, int, int]:
    """The mean lag of the largest team, the lower edge of its bin, and the delay next to it."""
    lag = mean_interval(mean_lags(data, data["workers"][-1]))
    edge = max(edge for edge in binned(data) if edge <= max(lag.value, 0.0))
    return lag, edge, min(data["delays"][1:], key=lambda delay: abs(delay - lag.value))


def losses_by_delay(data: Data) -> list[Estimate]:
    """For every delay above 0: its score minus that without delay, on the same seed."""
    scores = np.asarray(data["scores"], dtype=np.float64)
    return [mean_interval(row - scores[0], confidence=1 - 0.05 / (len(scores) - 1)) for row in scores[1:]]


def judge(data: Data) -> Judgement:
    """There is lag, it turns gradients, and it costs return: supported if all three, conditional if the first alone.

    There is lag if that of a single worker is always 0 and that of the largest team lies above 0. It turns gradients if
    the mean cosine lies below 0.9 at the lag that this team has on average, and it costs return if the injected delay
    next to that lag lowers the score. Each is read off a 95 % interval (those of the delays hold together).
    """
    team, edge, near = usual(data)
    bins, costs = binned(data), dict(zip(data["delays"][1:], losses_by_delay(data), strict=True))
    alone = max(mean_lags(data, data["workers"][0]))
    exists = alone == 0 and team.low > 0
    turns, hurts = bins[edge][0].high < 0.9, costs[near].high < 0
    longest, farthest = max(bins), max(costs)
    verdict = Verdict.NOT_SUPPORTED
    if exists:
        verdict = Verdict.SUPPORTED if turns and hurts else Verdict.CONDITIONAL
    numbers = [
        Number("mean lag of one worker", alone),
        Number(f"mean lag of {data['workers'][-1]} workers (stretches of one run)", team.value, team.low, team.high),
        *(
            Number(f"mean cosine at a lag of {_range(one)}", bins[one][0].value, bins[one][0].low, bins[one][0].high)
            for one in sorted({edge, longest})
        ),
        *(
            Number(f"score with a delay of {delay} updates, less that without", cost.value, cost.low, cost.high)
            for delay, cost in costs.items()
        ),
    ]
    extreme = bins[longest][0].high < 0.9, costs[farthest].high < 0
    why = (
        "Supported if real workers lag and one alone does not, gradients as late as theirs have turned (cosine below "
        "0.9), and a delay like theirs lowers the score; only under conditions if there is lag but not all of that. "
        f"{'There is lag' if exists else 'No lag was found'}. At the lag of {data['workers'][-1]} workers gradients "
        f"{'have turned' if turns else 'have not turned that far'}, and a delay of {near} updates "
        f"{'lowers' if hurts else 'does not reliably lower'} the score; at a lag of {_range(longest)} they "
        f"{'have' if extreme[0] else 'have not'}, and a delay of {farthest} {'does' if extreme[1] else 'does not'}."
    )
    return Judgement(verdict, why, numbers)


def draw(data: Data) -> Figure:
    """Three panels: who lags how much, what that does to a gradient, and what it costs."""
    figure = new_figure(9.6, 3.6)
    left, middle, right = figure.subplots(1, 3)
    _draw_lags(left, data)
    _draw_cosines(middle, data)
    _draw_delays(right, data)
    return figure


def _draw_lags(axes: Axes, data: Data) -> None:
    tidy(axes)
    for count, colour in zip(data["workers"], COLOURS, strict=False):
        pushes = [one["pushes"] for one in data["real"][str(count)]]
        total = np.sum(list(itertools.zip_longest(*pushes, fillvalue=0)), axis=1)
        axes.plot(np.arange(len(total)), total / total.sum(), ".-", color=colour, linewidth=1.2, label=f"{count}")
    axes.set_yscale("log")
    axes.set_xlabel("lag τ of a push", fontsize=9)
    axes.set_ylabel("share of pushes")
    axes.legend(title="workers", fontsize=8.5, title_fontsize=8.5, frameon=False)
    axes.set_title("real workers", fontsize=10)


def _draw_cosines(axes: Axes, data: Data) -> None:
    tidy(axes)
    bins = binned(data)
    places, means = range(len(bins)), [found for found, _ in bins.values()]
    reach = [[one.value - one.low for one in means], [one.high - one.value for one in means]]
    axes.errorbar(places, [one.value for one in means], reach, color=BLUE, fmt="o-", capsize=3, markersize=4)
    axes.set_xticks(places, [_range(edge) for edge in bins], rotation=45)
    axes.set_ylim(min(0.0, *(one.low for one in means)) - 0.02, 1.03)
    axes.set_xlabel("lag τ", fontsize=9)
    axes.set_ylabel("cosine, applied and fresh gradient")
    axes.set_title(f"{CHANCE_WORKERS} workers by turns", fontsize=10)


def _range(edge: int) -> str:
    """The lags from an edge to the next, in words."""
    if edge == EDGES[-1]:
        return f"{edge}+"
    last = EDGES[EDGES.index(edge) + 1] - 1
    return f"{edge}" if last == edge else f"{edge}-{last}"


def _draw_delays(axes: Axes, data: Data) -> None:
    tidy(axes)
    for place, scores in enumerate(data["scores"]):
        scores_at(axes, place, scores, RED)
    axes.set_xticks(range(len(data["delays"])), [str(delay) for delay in data["delays"]])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(bottom=0)
    axes.set_xlabel("injected delay [updates]", fontsize=9)
    axes.set_ylabel("score at the end")
    axes.set_title("A2C, delayed", fontsize=10)


CLAIM = Claim(
    key="lag",
    title="A3C's gradients lag, A2C's do not",
    says="An asynchronous worker computes its gradient at weights that others have changed by the time it is "
    "applied; synchronous environments share one set of weights, and nothing is stale.",
    formula="θ_{k+1} = θ_k - α g(θ_{k-τ})\nA3C: τ ≥ 0\nA2C: τ = 0",
    method="Three measurements on CartPole. First, real processes: teams of 1, 2, 4 and 8 workers train without a "
    "lock, and every push counts the updates of others since its pull; stretches of one run give the interval. How "
    "large the lag gets depends on the cores: workers that share a core take long turns.\n\n"
    "Second, what lag does to a gradient: 16 workers in one process push in random order, and each applied gradient is "
    "compared with the gradient of the same rollout at the shared weights of that moment. Intervals are Student's t "
    "over the means of the seeds.\n\n"
    "Third, what lag costs: A2C with env=cartpole_study acts and computes its gradients with the weights of 0, 4, 16 "
    "or 64 updates ago, on the same seeds for every delay. The score is the mean return of 20 fresh episodes of the "
    "last policy, with sampled actions; intervals are Student's t, widened for the number of delays (Bonferroni).",
    code=(
        "a2c/a3c/learner.py: AsyncLearner, SharedOptimizer",
        "a2c/a3c/worker.py: report_periods",
        "a2c/study/stale.py: chance_workers, delayed",
        "a2c/study/measures/gradients.py: cosine",
    ),
    measure=measure,
    judge=judge,
    draw=draw,
)
