"""Claim: A3C's gradients lag behind the weights that they change, A2C's do not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from a2c.compose import load_config
from a2c.config import Config
from a2c.evaluation import evaluate
from a2c.hogwild.loop import build, of_worker
from a2c.hogwild.team import make_team
from a2c.policy import Policy
from a2c.report.style import BLUE, GREEN, GREY, ORANGE, RED, new_figure, tidy
from a2c.state import TrainState
from a2c.study.claim import Claim, Data, Judgement, Number, Verdict
from a2c.study.measures.gradients import Estimate, LagBin, cosines_by_lag, mean_interval
from a2c.study.parallel import each
from a2c.study.settings import StudySettings
from a2c.study.stale import chance_workers, delayed

WORKERS = [1, 2, 4, 8]
STEPS = 4_000  # of a Hogwild run, for each of its stretches
CHANCE_WORKERS, PUSHES = 16, 1_500
EDGES = [0, 1, 2, 4, 8, 16, 32, 64]  # lags are put together from each of them to the next
DELAYS = [0, 4, 16, 64]
DELAYED_STEPS = 30_000
EPISODES = 20  # to score the policy that training ends with
COLOURS = (GREY, GREEN, BLUE, ORANGE)
PLAIN = ("env=cartpole", "device=cpu", "vectorization=sync", "compile=false")


@dataclass(frozen=True, slots=True)
class Task:
    """What one process measures: ``what(seed, size, of)``."""

    what: str
    seed: int
    size: int
    of: int


def measure(settings: StudySettings) -> Data:
    """Real workers one team after another; then the gradients and the delays, side by side."""
    hogwild = {str(workers): _real_lags(settings, workers) for workers in WORKERS}
    seeds = settings.all_seeds()
    pushes = [Task("cosines", seed, settings.steps(PUSHES), CHANCE_WORKERS) for seed in seeds]
    delays = [Task("delay", seed, settings.steps(DELAYED_STEPS), delay) for delay in DELAYS for seed in seeds]
    found = each(_measure, [*pushes, *delays], settings.jobs)
    scores = iter(found[len(pushes) :])
    return {
        "workers": WORKERS,
        "histograms": hogwild,  # [stretches][lag] pushes
        "cosines": found[: len(pushes)],  # [S]{lags, cosines}
        "delays": DELAYS,
        "scores": [[next(scores) for _ in seeds] for _ in DELAYS],  # [D][S]
    }


def _real_lags(settings: StudySettings, workers: int) -> list[list[int]]:
    """Pushes by lag of real processes, in as many stretches of a run as there are seeds."""
    cfg = load_config(*PLAIN, "algo=a3c", f"num_workers={workers}", f"seed={settings.seed}")
    learner, stretch = build(cfg), settings.steps(STEPS)
    cfg = replace(of_worker(cfg), total_steps=stretch * (settings.seeds + 1))
    state, found = TrainState(), []
    with make_team(cfg, learner, workers) as team:
        team.start(state)
        for _ in range(settings.seeds + 1):
            state = team.learn(state, state.env_steps + stretch, lambda env_steps: False)
            found.append(team.metrics()["train/lag_histogram"])
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


def mean_lags(histograms: list[list[int]]) -> list[float]:
    """The mean lag of every stretch."""
    return [float(np.dot(np.arange(len(counts)), counts) / sum(counts)) for counts in histograms]


def binned(data: Data) -> list[LagBin]:
    """Mean cosine from each of EDGES to the next; whole seeds are redrawn for its interval."""
    lags = np.concatenate([run["lags"] for run in data["cosines"]])
    runs = np.repeat(np.arange(len(data["cosines"])), [len(run["lags"]) for run in data["cosines"]])
    edges = np.asarray(EDGES)[np.searchsorted(EDGES, lags, side="right") - 1]
    return cosines_by_lag(edges.tolist(), np.concatenate([run["cosines"] for run in data["cosines"]]), runs.tolist())


def losses_by_delay(data: Data) -> list[Estimate]:
    """For every delay above 0: its score less that without delay, on the same seed."""
    scores = np.asarray(data["scores"], dtype=np.float64)
    return [mean_interval(row - scores[0], confidence=1 - 0.05 / (len(scores) - 1)) for row in scores[1:]]


def judge(data: Data) -> Judgement:
    """There is lag, it turns gradients, and it costs return: supported if all three, conditional if the first alone.

    There is lag if that of a single worker is always 0 (so is A2C's, which is one learner) and that of the largest team
    lies above 0. It turns gradients if the mean cosine at the longest lags measured lies below 0.9. It costs return if
    the longest injected delay lowers the score. Each is read off a 95 % interval (those of the delays hold together).
    """
    alone, most = (mean_lags(data["histograms"][str(count)]) for count in (data["workers"][0], data["workers"][-1]))
    team, last = mean_interval(most), binned(data)[-1]
    costs = losses_by_delay(data)
    exists = max(alone) == 0 and team.low > 0
    turns = last.high is not None and last.high < 0.9
    hurts = costs[-1].high < 0
    verdict = Verdict.NOT_SUPPORTED
    if exists:
        verdict = Verdict.SUPPORTED if turns and hurts else Verdict.CONDITIONAL
    numbers = [
        Number("mean lag of one worker, and of A2C", max(alone)),
        Number(f"mean lag of {data['workers'][-1]} workers", team.value, team.low, team.high),
        Number(f"mean cosine at a lag of {last.lag} or more", last.mean, last.low, last.high),
        *(
            Number(f"score with a delay of {delay} updates, less that without", cost.value, cost.low, cost.high)
            for delay, cost in zip(data["delays"][1:], costs, strict=True)
        ),
    ]
    why = (
        "Supported if real workers lag and one does not, gradients with the longest lags have turned (cosine below "
        "0.9), and the longest injected delay lowers the score; only under conditions if there is lag but not all of "
        f"that. {'There is lag' if exists else 'No lag was found'}; gradients {'turn' if turns else 'do not turn'} "
        f"with it; a delay of {data['delays'][-1]} updates {'lowers' if hurts else 'does not reliably lower'} the "
        "score."
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
        length = max(len(counts) for counts in data["histograms"][str(count)])
        total = sum(np.pad(counts, (0, length - len(counts))) for counts in data["histograms"][str(count)])
        axes.plot(np.arange(length), total / np.sum(total), ".-", color=colour, linewidth=1.2, label=f"{count}")
    axes.set_yscale("log")
    axes.set_xlabel("lag τ of a push", fontsize=9)
    axes.set_ylabel("share of pushes")
    axes.legend(title="workers", fontsize=8.5, title_fontsize=8.5, frameon=False)
    axes.set_title("real workers", fontsize=10)


def _draw_cosines(axes: Axes, data: Data) -> None:
    tidy(axes)
    bins = binned(data)
    places = range(len(bins))
    low = [one.mean - (one.mean if one.low is None else one.low) for one in bins]
    high = [(one.mean if one.high is None else one.high) - one.mean for one in bins]
    axes.errorbar(places, [one.mean for one in bins], [low, high], color=BLUE, fmt="o-", capsize=3, markersize=4)
    axes.set_xticks(places, [_range(one.lag) for one in bins], rotation=45)
    axes.set_ylim(min(0.0, *(one.mean for one in bins)) - 0.02, 1.03)
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
        found = mean_interval(scores)
        axes.scatter(place + np.linspace(-0.12, 0.12, len(scores)), scores, s=12, color=RED, alpha=0.5, linewidth=0)
        reach = [[found.value - found.low], [found.high - found.value]]
        axes.errorbar(place, found.value, reach, color=RED, fmt="o", markersize=5, capsize=3)
    axes.set_xticks(range(len(data["delays"])), [str(delay) for delay in data["delays"]])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(bottom=0)
    axes.set_xlabel("injected delay [updates]", fontsize=9)
    axes.set_ylabel("score at the end")
    axes.set_title("A2C, delayed", fontsize=10)


CLAIM = Claim(
    key="lag",
    title="A3C's gradients lag, A2C's do not",
    says="An asynchronous worker computes its gradient at weights that others have changed by the time that it is "
    "applied; synchronous environments share one set of weights, and nothing is stale.",
    formula="θ_{k+1} = θ_k - α g(θ_{k-τ})\nA3C: τ ≥ 0\nA2C: τ = 0",
    method="Three measurements on CartPole. First, real processes: teams of 1, 2, 4 and 8 workers train without a "
    "lock, and every push counts the updates of others since its pull; stretches of one run give the interval. How "
    "large the lag gets depends on the cores: workers that share one take long turns.\n\n"
    "Second, what lag does to a gradient: 16 workers in one process push in random order, and each applied gradient is "
    "compared with the gradient of the same rollout at the shared weights of that moment. Whole seeds are redrawn for "
    "the intervals.\n\n"
    "Third, what it costs: A2C as its preset has it acts and computes its gradients with the weights of 0, 4, 16 or 64 "
    "updates ago, with the same seeds for every delay. The score is the mean return of 20 fresh episodes of the last "
    "policy, its actions sampled; intervals are Student's t, widened for the number of delays (Bonferroni).",
    code=(
        "a2c/hogwild/learner.py: AsyncLearner, SharedOptimizer",
        "a2c/hogwild/worker.py: sittings",
        "a2c/study/stale.py: chance_workers, delayed",
        "a2c/study/measures/gradients.py: cosines_by_lag",
    ),
    measure=measure,
    judge=judge,
    draw=draw,
)
