"""Claim: a longer n-step return has less bias and more variance."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from a2c.run.showing.style import BLUE, GREY, ORANGE, new_figure, tidy
from a2c.settings.compose import load_config
from a2c.study.batches import trained
from a2c.study.claim import Claim, Data, Judgement, Number, Verdict
from a2c.study.continuations import play, states_met
from a2c.study.frozen import fitted
from a2c.study.measures.targets import nested_means, percentiles, squared_bias, targets
from a2c.study.parallel import each
from a2c.study.settings import StudySettings

LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128)  # n
HORIZON = 512  # steps of a continuation: 0.98^512 = 3e-5 of the critic is left in the reference
GAMMA = 0.98
TRAINED = 20_000  # env steps: a policy that balances for a while, and a critic that lags far behind it
FITTED = 20_000  # further env steps of the critic alone
STATES, CONTINUATIONS = 24, 256
CRITICS = ("the critic of training", "a critic fitted further")

Floats = NDArray[np.float64]


def measure(settings: StudySettings) -> Data:
    """Squared bias and variance of the target for every critic, seed, state and n."""
    root = settings.scale**0.5
    one = partial(
        one_seed,
        train_steps=min(TRAINED, settings.steps(TRAINED)),  # never longer: a perfect policy leaves nothing to estimate
        fit_steps=min(FITTED, settings.steps(FITTED)),
        states=max(3, round(STATES * root)),
        continuations=max(16, round(CONTINUATIONS * root)),
    )
    runs = each(one, settings.all_seeds(), settings.jobs)
    return {
        "lengths": list(LENGTHS),
        "critics": {
            name: {quantity: [run[name][quantity] for run in runs] for quantity in ("squared_bias", "variance")}
            for name in CRITICS
        },  # [S, P, n] each
        "value": [run["value"] for run in runs],  # [S]  mean reference V over the states
    }


def one_seed(seed: int, train_steps: int, fit_steps: int, states: int, continuations: int) -> Data:
    """Squared bias and variance ``[P, n]`` for both critics of one policy, and its mean value."""
    quiet = ("vectorization=sync", "device=cpu", "threads=1")
    cfg = load_config("env=cartpole_study", *quiet, f"gamma={GAMMA}", f"seed={seed}", f"total_steps={train_steps}")
    policy = trained(cfg)
    random = torch.Generator().manual_seed(seed)
    starts = states_met(policy, states, random).repeat_interleave(continuations, 0)
    critics = [policy, fitted(policy, cfg, fit_steps)]
    done, values = play(policy, critics, starts, (*LENGTHS, HORIZON), random)
    found: Data = {}
    for name, value in zip(CRITICS, values, strict=True):
        each_n = targets(torch.ones(done.shape), done, value, GAMMA)
        target = np.stack([each_n[n].numpy().reshape(states, -1) for n in (*LENGTHS, HORIZON)], 1).astype(np.float64)
        # The same continuation played to its end is an unbiased sample of V: the luck that both share drops out.
        bias = squared_bias(target[:, :-1] - target[:, -1:])
        found[name] = {"squared_bias": bias.tolist(), "variance": target[:, :-1].var(-1, ddof=1).tolist()}
        found["value"] = float(target[:, -1].mean())
    return found


def judge(data: Data) -> Judgement:
    """Supported: from the shortest n to the longest, squared bias falls and variance rises, with every critic. Only
    under conditions: one half of this, bias falls or variance rises, holds with every critic, the other half not, and
    nothing clearly goes the other way. Not supported: neither half holds, or bias rises or variance falls with some
    critic.

    Each by the 95 % interval of the difference, last minus first, clear of 0. A ratio would not do: the estimate of a
    squared bias may be negative, and the sign of its ratio says nothing.
    """
    lengths = np.asarray(data["lengths"])
    last, numbers, told = lengths[-1], [], []
    falls, rises, against = [], [], []
    for critic, found in data["critics"].items():
        bias, variance = np.asarray(found["squared_bias"]), np.asarray(found["variance"])
        changes = []
        for name, values in (("squared bias", bias), ("variance", variance)):
            draws, mean = nested_means(values), values.mean((0, 1))
            changes.append(_interval(mean[-1] - mean[0], draws[:, -1] - draws[:, 0]))
            numbers.append(Number(f"{name} at n = {last} minus n = 1, {critic}", *changes[-1]))
            if percentiles(draws[:, 0])[0] > 0.0:  # else it may be 0, and so nothing to divide by
                ratio = _interval(mean[-1] / mean[0], draws[:, -1] / draws[:, 0])
                numbers.append(Number(f"{name} at n = {last} against n = 1, {critic}", *ratio))
        (_, bias_low, bias_high), (_, variance_low, variance_high) = changes
        error = bias + variance
        best = int(lengths[error.mean((0, 1)).argmin()])
        low, high = percentiles(lengths[nested_means(error).argmin(-1)])
        numbers.append(Number(f"n with the least mean squared error, {critic}", best, float(low), float(high)))
        falls.append(bias_high < 0.0)
        rises.append(variance_low > 0.0)
        against += [bias_low > 0.0, variance_high < 0.0]
        told.append(
            f"With {critic} the bias {_way(bias_low, bias_high)} and the variance "
            f"{_way(variance_low, variance_high)}; their sum, the mean squared error, is least at n = {best}."
        )
    why = (
        f"The criterion: from n = 1 to n = {last} the squared bias falls and the variance rises, with either critic, "
        "every 95 % interval of the difference clear of 0. Only one of the two, with either critic and with nothing "
        "that clearly goes the other way, is a condition. " + " ".join(told)
    )
    if all(falls) and all(rises):
        return Judgement(Verdict.SUPPORTED, why, numbers)
    half = (all(falls) or all(rises)) and not any(against)
    return Judgement(Verdict.CONDITIONAL if half else Verdict.NOT_SUPPORTED, why, numbers)


def _interval(value: float, draws: Floats) -> tuple[float, float, float]:
    low, high = percentiles(draws)
    return float(value), float(low), float(high)


def _way(low: float, high: float) -> str:
    return "rises" if low > 0.0 else "falls" if high < 0.0 else "does not clearly change"


def draw(data: Data) -> Figure:
    """Squared bias, variance and their sum against n, for each critic."""
    figure = new_figure(9.0, 4.4)
    panels = figure.subplots(1, len(data["critics"]), sharey=True)
    for axes, (critic, found) in zip(panels, data["critics"].items(), strict=True):
        _draw_critic(axes, data["lengths"], np.asarray(found["squared_bias"]), np.asarray(found["variance"]))
        axes.set_title(critic, fontsize=10.5)
    panels[0].set_ylabel("of the target, in reward² (less than 0.01: at the edge)")
    panels[-1].legend(fontsize=9, frameon=False, loc="lower left")
    return figure


def _draw_critic(axes: Axes, lengths: list[int], bias: Floats, variance: Floats) -> None:
    tidy(axes)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    floor = 0.01  # there both are negligible, and an unbiased estimate of no bias may be negative
    for name, values, color, marker in (
        ("squared bias", bias, BLUE, "o"),
        ("variance", variance, ORANGE, "s"),
        ("mean squared error: their sum", bias + variance, GREY, "D"),
    ):
        low, high = (np.maximum(end, floor) for end in percentiles(nested_means(values)))
        mean = np.maximum(values.mean((0, 1)), floor)
        axes.plot(lengths, mean, color=color, marker=marker, markersize=4.5, linewidth=1.5, label=name)
        axes.fill_between(lengths, low, high, color=color, alpha=0.18, linewidth=0)
    axes.set_ylim(bottom=floor)
    axes.set_xticks(lengths, [str(n) for n in lengths])
    axes.set_xlabel("n, steps before the critic takes over")


CLAIM = Claim(
    key="n_step",
    title="The n-step return trades bias for variance",
    says=(
        "The longer a target waits before it trusts the critic, the less of the critic's error and the more chance it "
        "contains."
    ),
    formula=(
        "G_t^{(n)} = r_t + γ r_{t+1} + … + γ^{n-1} r_{t+n-1} + γ^n V(s_{t+n})\n"
        "E[G_t^{(n)}] - V^π(s_t) = γ^n E[V(s_{t+n}) - V^π(s_{t+n})]"
    ),
    method=f"""\
Each seed trains a policy and its critic together on CartPole for {TRAINED:,} steps with γ = {GAMMA}, then freezes the
policy. The targets use this critic, and a copy of it that is fitted to the frozen policy for {FITTED:,} more steps.

From each of {STATES} states that the policy meets, {CONTINUATIONS} continuations start in exactly that state, without
the time limit, which the observation does not show. Each gives the target for every n; played for {HORIZON} steps, it
is a sample of V^π(s) itself. The bias in a state is the mean difference between the two over its continuations; its
square is corrected for the noise of that mean, so that it is 0 on average where there is no bias. Bias and variance are
means over the states. Intervals: bootstrap over seeds, and over states within a seed.""",
    code=("a2c/maths/returns.py: n_step_returns", "a2c/study/measures/targets.py: targets, squared_bias"),
    measure=measure,
    judge=judge,
    draw=draw,
)
