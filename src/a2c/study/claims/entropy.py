"""Claim: the entropy bonus keeps exploration alive and prevents premature convergence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from a2c.playing.evaluation import evaluate
from a2c.playing.policy import Policy
from a2c.run.showing.style import BLUE, GREEN, GREY, ORANGE, RED, new_figure, tidy
from a2c.settings.compose import load_config
from a2c.study.claim import Claim, Data, Judgement, Number, Verdict
from a2c.study.dead_end import ID as DEAD_END
from a2c.study.drawing import scores_at
from a2c.study.measures.gradients import Estimate, mean_interval
from a2c.study.measures.ranks import rank_correlations
from a2c.study.parallel import each
from a2c.study.plain_settings import PLAIN_A2C
from a2c.study.settings import StudySettings
from a2c.trainer import training

BETAS = [0.0, 0.01, 0.03, 0.1, 0.3]
PLAIN = ("device=cpu", "vectorization=sync", "compile=false")


@dataclass(frozen=True, slots=True)
class Setup:
    """What to train, apart from beta."""

    overrides: tuple[str, ...]
    steps: int  # at scale 1
    runs: int  # for every seed of the study


SETUPS = {
    "CartPole": Setup(("env=cartpole_study", *PLAIN), 20_000, runs=1),
    # At this learning rate runs without a bonus settle early, some of them in the dead end. A run ends with nearly all
    # or nearly nothing, and that takes more runs than a score that varies little.
    "Dead end": Setup(
        (f"env.id={DEAD_END}", *PLAIN_A2C, "num_envs=8", "n_step=8", "optimizer=adam", "lr=0.01", *PLAIN),
        10_000,
        runs=5,
    ),
}
POINTS = 40  # of an entropy curve
LATE = 0.25  # the last part of training, whose entropy is judged
EPISODES = 20  # to score the policy that training ends with
COLOURS = (GREY, GREEN, BLUE, ORANGE, RED)  # one a beta


@dataclass(frozen=True, slots=True)
class Task:
    """One run."""

    setup: str
    beta: float
    seed: int
    steps: int


def measure(settings: StudySettings) -> Data:
    """Train with every beta and seed; all betas share the seeds."""
    seeds = {name: _seeds(settings, setup.runs) for name, setup in SETUPS.items()}
    tasks = [
        Task(name, beta, seed, settings.steps(setup.steps))
        for name, setup in SETUPS.items()
        for beta in BETAS
        for seed in seeds[name]
    ]
    found = iter(each(_train, tasks, settings.jobs))
    data: Data = {"betas": BETAS, "setups": {}}
    for name in SETUPS:
        runs = [[next(found) for _ in seeds[name]] for _ in BETAS]
        data["setups"][name] = {
            "steps": runs[0][0]["steps"],  # [P]
            "entropy": [[run["entropy"] for run in row] for row in runs],  # [B][R][P]
            "score": [[run["score"] for run in row] for row in runs],  # [B][R]
            "greedy": [[run["greedy"] for run in row] for row in runs],
            "most": runs[0][0]["most"],  # the entropy of random actions
        }
    return data


def _seeds(settings: StudySettings, runs: int) -> list[int]:
    """``runs`` seeds for every seed of the study."""
    return [(seed + 10_000 * run) % 2**31 for seed in settings.all_seeds() for run in range(runs)]


def _train(task: Task) -> Data:
    cfg = load_config(
        *SETUPS[task.setup].overrides, f"beta={task.beta}", f"seed={task.seed}", f"total_steps={task.steps}"
    )
    steps: list[int] = []
    entropy: list[float] = []
    for state, learner, _ in training(cfg):
        if state.env_steps * POINTS >= (len(steps) + 1) * cfg.total_steps:
            steps.append(state.env_steps)
            entropy.append(learner.drain_metrics(state.env_steps)["train/entropy"])
    policy = Policy(learner.model, cfg)
    return {
        "steps": steps,
        "entropy": entropy,
        "score": evaluate(policy, EPISODES, deterministic=False).mean,
        "greedy": evaluate(policy, EPISODES).mean,
        "most": float(np.log(learner.model.spaces.actions)),
    }


def late_entropy(setup: Data) -> NDArray[np.float64]:
    """``[B, R]``: mean policy entropy over the last quarter of training."""
    curves = np.asarray(setup["entropy"], dtype=np.float64)
    late = np.asarray(setup["steps"]) > (1 - LATE) * setup["steps"][-1]
    return np.asarray(curves[:, :, late].mean(axis=2))


def gains(data: Data, setup: Data) -> list[Estimate]:
    """For every beta above 0, how much more it scores than beta 0 on the same seed.

    Student's t over seeds; all intervals together hold with 95 % (Bonferroni), since the best of them is looked for.
    """
    scores = np.asarray(setup["score"], dtype=np.float64)
    confidence = 1 - 0.05 / (len(data["betas"]) - 1)
    return [mean_interval(row - scores[0], confidence=confidence) for row in scores[1:]]


def judge(data: Data) -> Judgement:
    """Supported if on every environment entropy rises with beta and some beta above 0 scores more than 0.

    Entropy rises if the interval of its rank correlation with beta lies above 0; a beta scores more if the
    interval of its gain, widened for all comparisons on that environment, lies above 0. Conditional if both hold on at
    least one environment, not supported otherwise.
    """
    rises, helps, found, numbers = {}, {}, [], []
    for name, setup in data["setups"].items():
        order = mean_interval(rank_correlations(data["betas"], late_entropy(setup)))
        ends = max(-1.0, order.low), min(1.0, order.high)
        numbers.append(Number(f"{name}: rank correlation of β and late entropy", order.value, *ends))
        better, worse = [], []
        for beta, gain in zip(data["betas"][1:], gains(data, setup), strict=True):
            numbers.append(Number(f"{name}: score of β = {beta:g} less that of β = 0", gain.value, gain.low, gain.high))
            better += [f"{beta:g}"] * (gain.low > 0)
            worse += [f"{beta:g}"] * (gain.high < 0)
        rises[name], helps[name] = order.low > 0, bool(better)
        found.append(
            f"{name}: entropy {'rises' if rises[name] else 'does not reliably rise'} with β; scores are "
            f"higher than without a bonus {_at(better)}, and lower {_at(worse)}."
        )
    both = [name for name in rises if rises[name] and helps[name]]
    verdict = Verdict.CONDITIONAL if both else Verdict.NOT_SUPPORTED
    if len(both) == len(rises):
        verdict = Verdict.SUPPORTED
    why = (
        f"Supported if, on every environment, the 95 % interval of the rank correlation lies above 0 and "
        f"some β > 0 scores more than β = 0 (intervals of the gains hold together with 95 %); only under conditions if "
        f"on one of them. {' '.join(found)}"
    )
    return Judgement(verdict, why, numbers)


def _at(betas: list[str]) -> str:
    return f"at β = {' and '.join(betas)}" if betas else "at no β"


def draw(data: Data) -> Figure:
    """Above: entropy over training, a line for every beta. Below: the score of the policy at the end."""
    figure = new_figure(8.0, 6.4)
    panels = figure.subplots(2, len(data["setups"]), squeeze=False, height_ratios=[3, 2])
    for column, (name, setup) in enumerate(data["setups"].items()):
        _draw_entropy(panels[0][column], name, data["betas"], setup)
        _draw_scores(panels[1][column], data["betas"], setup)
    panels[0][0].set_ylabel("policy entropy [nats]")
    panels[0][0].legend(fontsize=8.5, frameon=False, loc="lower left")
    panels[1][0].set_ylabel("score at the end")
    panels[1][0].legend(fontsize=8.5, frameon=False, loc="best")
    figure.align_ylabels()
    return figure


def _draw_entropy(axes: Axes, name: str, betas: list[float], setup: Data) -> None:
    tidy(axes)
    for beta, colour, curves in zip(betas, COLOURS, setup["entropy"], strict=False):
        found = [mean_interval(point) for point in np.asarray(curves).T]
        axes.plot(setup["steps"], [one.value for one in found], color=colour, linewidth=1.6, label=f"β = {beta:g}")
        low, high = [one.low for one in found], [one.high for one in found]
        axes.fill_between(setup["steps"], low, high, color=colour, alpha=0.15, linewidth=0)
    axes.axhline(setup["most"], color=GREY, linestyle=":", linewidth=1)
    axes.text(setup["steps"][-1], setup["most"], "random", color=GREY, fontsize=8.5, ha="right", va="bottom")
    axes.set_ylim(0, setup["most"] * 1.1)
    axes.set_title(name, fontsize=11)
    axes.set_xlabel("environment steps", fontsize=9)


def _draw_scores(axes: Axes, betas: list[float], setup: Data) -> None:
    tidy(axes)
    for place, (scores, colour) in enumerate(zip(setup["score"], COLOURS, strict=False)):
        scores_at(axes, place, scores, colour)
    greedy = [float(np.mean(scores)) for scores in setup["greedy"]]
    axes.plot(range(len(betas)), greedy, "_", color="black", markersize=12, label="mean of greedy actions")
    axes.set_ylim(bottom=min(0.0, *np.ravel(setup["score"])) - 0.03 * np.max(setup["score"]))
    axes.set_xticks(range(len(betas)), [f"{beta:g}" for beta in betas])
    axes.set_xlabel("β", fontsize=9)


CLAIM = Claim(
    key="entropy",
    title="The entropy bonus keeps exploration alive",
    says="An entropy bonus in the loss keeps the policy from becoming deterministic too early, and so from settling on "
    "a poor habit.",
    formula="L = L_{policy} + c L_{value} - β H\nH = E[-Σ_a π(a|s) log π(a|s)]",
    method="Runs train with β = 0, 0.01, 0.03, 0.1 and 0.3 on two environments, with the same seeds for every β: "
    "CartPole (env=cartpole_study), where there is nothing to explore, and a grid world with a dead end, where a small "
    "reward is near and a large one far, at a learning rate so high that a policy without a bonus settles early. Runs "
    "there end with nearly all or nearly nothing, so there are five for every seed of the study.\n\n"
    "Entropy is that of the policy in the states that it meets over the last quarter of training. Spearman's rank "
    "correlation says how well it follows β in the runs of one seed; the table has its mean over seeds. The score is "
    "the mean return of 20 fresh episodes of the last policy, with sampled actions; a gain over β = 0 is the mean over "
    "pairs with the same seed. Intervals are Student's t; those of the gains are widened for the number of comparisons "
    "on an environment (Bonferroni).",
    code=(
        "a2c/maths/losses.py: loss_gradients",
        "a2c/maths/distributions/categorical.py: Categorical",
        "a2c/study/dead_end.py: DeadEnd",
        "a2c/study/measures/ranks.py: rank_correlations",
    ),
    measure=measure,
    judge=judge,
    draw=draw,
)
