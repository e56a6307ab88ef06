"""Claim: the batch gradient is the mean of the workers' gradients, and its variance falls as 1/N."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from a2c.network.actor_critic import ActorCritic
from a2c.network.protocol import Network
from a2c.rollout import Rollout, columns
from a2c.run.showing.style import BLUE, GREEN, GREY, ORANGE, RED, new_figure, tidy
from a2c.settings.compose import load_config
from a2c.settings.config import Config
from a2c.study.batches import Gradient, by_autograd, by_learner, cast, trained
from a2c.study.claim import Claim, Data, Judgement, Number, Verdict
from a2c.study.job_pool import Pool
from a2c.study.measures.gradients import (
    Estimate,
    log_log_slopes,
    mean_interval,
    relative_error,
    total_variance_interval,
)
from a2c.study.parallel import each
from a2c.study.settings import StudySettings

COUNTS = [1, 2, 4, 8, 16, 32, 64]  # N
TRAINED, AGE = 20_000, 80  # steps to train the policy for; steps between a reset and the batch
DRAWS = 16  # independent batches of the largest N at each policy; the smaller N, the more batches
AT_ONCE = 8  # of them, to collect side by side
WORKERS = 8  # environments of the batch for the identity
EXACT = {"float64": 1e-10, "float32": 1e-4}  # largest relative error that counts as rounding
SLOPE = (-1.1, -0.9)


@dataclass(frozen=True, slots=True)
class Task:
    """What one process measures."""

    seed: int
    train_steps: int
    age: int
    draws: int


def measure(settings: StudySettings) -> Data:
    """Every seed trains a policy of its own and measures both halves of the claim at it."""
    size = settings.steps(TRAINED), settings.steps(AGE), max(2, settings.steps(DRAWS))
    found = each(_measure, [Task(seed, *size) for seed in settings.all_seeds()], settings.jobs)
    return {
        "counts": COUNTS,
        "draws": size[-1],
        "errors": {name: [one["errors"][name] for one in found] for name in found[0]["errors"]},
        "variance": {name: [one["variance"][name] for one in found] for name in found[0]["variance"]},
    }


def config(*overrides: str) -> Config:
    """env=cartpole_study with the plain loss: advantages as they are, n-step returns, no clipping."""
    plain = ("normalize_advantage=false", "gae_lambda=1", "max_grad_norm=null")
    return load_config("env=cartpole_study", "vectorization=sync", "device=cpu", "compile=false", *plain, *overrides)


def _measure(task: Task) -> Data:
    cfg = config(f"seed={task.seed}", f"total_steps={task.train_steps}")
    model = trained(cfg)
    return {"errors": _errors(model, cfg, task), "variance": _variances(model, cfg, task)}


def _errors(model: ActorCritic, cfg: Config, task: Task) -> dict[str, float]:
    """Relative error of the batch gradient against the mean over its columns, for each way to compute it."""
    with Pool(replace(cfg, num_envs=WORKERS)) as pool:
        batch = pool.late(model, task.age)
    errors: dict[str, float] = {}
    for precision in EXACT:
        dtype = getattr(torch, precision)
        exact, wide = cast(batch, dtype), copy.deepcopy(model).to(dtype)
        errors[f"autograd, {precision}"] = _error(by_autograd(wide, cfg), exact)
        errors[f"learner, {precision}"] = _error(by_learner(wide, cfg), exact)
        errors[f"learner against autograd, {precision}"] = relative_error(
            by_learner(wide, cfg)(exact), by_autograd(wide, cfg)(exact)
        )
    double, exact = copy.deepcopy(model).double(), cast(batch, torch.float64)
    standardised = replace(cfg, normalize_advantage=True, value_coef=0.0)  # the critic's part has no advantages
    errors["standardised advantages"] = _error(by_learner(double, standardised), exact)
    limit = float(np.linalg.norm(by_learner(double, cfg)(exact)))  # its own norm: it clips only workers
    errors["clipped worker by worker"] = _error(by_learner(double, replace(cfg, max_grad_norm=limit)), exact)
    return errors


def _error(gradient: Gradient, batch: Rollout) -> float:
    apart = [gradient(columns(batch, slice(i, i + 1))) for i in range(batch.rewards.shape[1])]
    return relative_error(gradient(batch), np.mean(apart, axis=0, dtype=np.float64))


def _variances(model: ActorCritic, cfg: Config, task: Task) -> Data:
    """For each way to fill a batch: the total variance of its gradient at every N, with bootstrap intervals."""
    gradient = by_learner(model, cfg)
    at_once = min(AT_ONCE, task.draws)
    wide = replace(cfg, num_envs=at_once * COUNTS[-1])

    def spread(batches: Iterable[Rollout]) -> Estimate:
        return total_variance_interval(np.stack([gradient(batch) for batch in batches]))

    with Pool(wide) as pool:
        draws = range(-(-task.draws // at_once))
        late = [pool.late(model, task.age, draw) for draw in draws]
        found = {
            # The same environments for every N: rare large gradients, which decide a variance, are then in all of them.
            "independent": [spread(_cut(late, count)) for count in COUNTS],
            "same start": [
                spread(_cut([_together(pool, model, draw, count) for draw in draws], count)) for count in COUNTS
            ],
            "copies": [
                spread(columns(late[0], torch.full((count,), k)) for k in range(COUNTS[-1])) for count in COUNTS
            ],
        }
    return {
        way: {name: [getattr(one, name) for one in estimates] for name in ("value", "low", "high")}
        for way, estimates in found.items()
    }


def _cut(rollouts: list[Rollout], count: int) -> Iterator[Rollout]:
    """Batches of ``count`` environments each."""
    for rollout in rollouts:
        for start in range(0, rollout.rewards.shape[1], count):
            yield columns(rollout, slice(start, start + count))


def _together(pool: Pool, model: Network, draw: int, count: int) -> Rollout:
    """The first steps of environments, every ``count`` of which start from one seed."""
    return next(pool.play(model, draw, like=[index // count * count for index in range(pool.num_envs)]))


def slopes(data: Data, way: str) -> np.ndarray:
    """``[S]``: the slope of log variance on log N at each policy."""
    return log_log_slopes(data["counts"], [one["value"] for one in data["variance"][way]])


def judge(data: Data) -> Judgement:
    """Supported if the identity holds to rounding and the slope's interval lies within [-1.1, -0.9].

    Conditional if the identity holds and the variance falls with N (the whole interval below 0), at another rate.
    Not supported otherwise. The identity holds if no relative error of either gradient, in any seed, is above 1e-10
    in float64 or 1e-4 in float32. The counterexamples do not count: they show that the measurement can fail.
    """
    worst = {name: max(errors) for name, errors in data["errors"].items()}
    exact = all(error <= EXACT[name.split(", ")[1]] for name, error in worst.items() if ", " in name)
    slope, started = (mean_interval(slopes(data, way)) for way in ("independent", "same start"))
    if exact and SLOPE[0] <= slope.low and slope.high <= SLOPE[1]:
        verdict = Verdict.SUPPORTED
    elif exact and slope.high < 0:
        verdict = Verdict.CONDITIONAL
    else:
        verdict = Verdict.NOT_SUPPORTED
    why = (
        f"Supported if the identity holds to rounding (1e-10 in float64, 1e-4 in float32) and the 95 % interval of the "
        f"slope lies within [-1.1, -0.9]. The identity {'holds' if exact else 'does not hold'}; the slope is "
        f"{slope.value:.3f} [{slope.low:.3f}, {slope.high:.3f}]. Standardised advantages break the identity, since "
        f"their mean and deviation are of the whole batch (relative error {worst['standardised advantages']:.2g}), "
        f"and so does clipping each worker's gradient instead of the mean "
        f"({worst['clipped worker by worker']:.2g}). Of workers that start from one seed the slope is "
        f"{started.value:.2f}, of copies {float(slopes(data, 'copies').mean()):.2f}."
    )
    numbers = [
        Number("slope of log variance on log N", slope.value, slope.low, slope.high),
        Number("slope, same start", started.value, started.low, started.high),
        Number("slope, copies of one worker", float(slopes(data, "copies").mean())),
        *(Number(f"relative error, {name}", error) for name, error in worst.items()),
    ]
    return Judgement(verdict, why, numbers)


def draw(data: Data) -> Figure:
    """Left: variance against N. Right: how far the batch gradient is from the workers' mean."""
    figure = new_figure(9.0, 4.0)
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    _draw_variance(left, data)
    _draw_errors(right, data)
    return figure


def _draw_variance(axes: Axes, data: Data) -> None:
    tidy(axes)
    axes.set(xscale="log", yscale="log")
    counts = np.asarray(data["counts"], dtype=np.float64)
    axes.plot(counts, 1 / counts, color=GREY, linestyle="--", linewidth=1.2, label="1/N")
    copies = np.mean([np.array(policy["value"]) / policy["value"][0] for policy in data["variance"]["copies"]], axis=0)
    axes.plot(counts, copies, "o-", color=RED, linewidth=1.2, markersize=4, label="copies of one worker")  # exact
    looks = (
        ("same start", "same start, own actions", ORANGE),
        ("independent", "independent workers", BLUE),
    )
    for way, name, colour in looks:
        policies = data["variance"][way]
        for policy, aside in zip(policies, np.geomspace(0.88, 1.14, len(policies)), strict=True):
            at, low, high = (np.array(policy[end]) / policy["value"][0] for end in ("value", "low", "high"))
            axes.errorbar(
                counts * aside, at, yerr=[at - low, high - at], color=colour, fmt="o", markersize=2.5, elinewidth=0.8
            )
        axes.plot([], [], "o", color=colour, markersize=4, label=name)
    axes.set_xticks(counts, [f"{count:g}" for count in counts])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("N, workers in the batch")
    axes.set_ylabel("total variance of the gradient,\nthat of one worker = 1")
    axes.legend(fontsize=8.5, frameon=False, loc="lower left")


def _draw_errors(axes: Axes, data: Data) -> None:
    tidy(axes)
    names = list(data["errors"])
    for place, name in enumerate(names):
        errors = np.maximum(data["errors"][name], 1e-18)  # a logarithm of 0 has no place
        axes.plot(errors, np.full(len(errors), place), "o", markersize=4, color=GREEN if ", " in name else RED)
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("relative error, one point a policy")


CLAIM = Claim(
    key="batch_gradient",
    title="The batch gradient is the mean of the workers' gradients; its variance falls as 1/N",
    says="One backward pass over N environments gives exactly the average of N workers' gradients, with 1/N of the "
    "variance of one.",
    formula="∇L(batch) = (1/N) Σᵢ ∇L(worker i)\ntr Cov[∇L(batch)] = (1/N) tr Cov[∇L(worker)]   for independent workers",
    method="On CartPole each seed trains a policy for 20 000 steps and freezes it. The gradient of a rollout [T, N] is "
    "compared with the mean over its N columns, by autograd and by the learner's own update, in float64 and float32. "
    "Then 1024 environments, each with its own seed and 80 steps after its reset, are cut into batches of N, for every "
    "N. The gradients of the batches give the total variance; a line through log variance and log N gives a slope for "
    "each policy, and Student's t over policies gives its interval. "
    "Counterexamples: workers that start from the same seed but draw their own actions, in their first T steps, and "
    "copies of one worker.",
    code=(
        "a2c/maths/losses.py: actor_critic_loss, loss_gradients",
        "a2c/network/passes.py: pass_over",
        "a2c/learning/learner.py: Learner",
        "a2c/study/measures/gradients.py: total_variance, log_log_slopes",
    ),
    measure=measure,
    judge=judge,
    draw=draw,
)
