"""Claim: a batch from N environments is less correlated than one from a single environment."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from a2c.run.showing.style import BLUE, GREEN, GREY, ORANGE, RED, new_figure, tidy
from a2c.settings.compose import load_config
from a2c.study.batches import trained
from a2c.study.claim import Claim, Data, Judgement, Number, Verdict
from a2c.study.measures.gradients import Estimate, mean_interval
from a2c.study.measures.paired import geometric_mean, ratio
from a2c.study.measures.series import autocorrelation, effective_size, size_within_stream, window_means
from a2c.study.parallel import each
from a2c.study.settings import StudySettings
from a2c.study.streams import SCALARS, Batch, Draws, means, record

N, T = 16, 5
BATCH = N * T
TRAINED = 20_000  # env steps
STREAMS, STEPS = 64, 3000  # environments to record, of which a batch draws N; steps of each
EARLY = 50  # steps after a common reset: ten updates
DRAWS = 4000  # batches of each kind
LAGS = 100
HARMLESS = 0.8  # a common reset is harmless where it surely leaves this share of the effective size
KINDS = {
    "one": "one environment",
    "replay": "a replay memory of one environment",
    "many": f"{N} environments, long after the reset",
    "together": f"{N} environments, just reset together",
    "staggered": f"{N} environments, just reset, staggered",
}
COLORS = dict(zip(SCALARS, (BLUE, ORANGE, GREEN), strict=True))


def measure(settings: StudySettings) -> Data:
    """Autocorrelations and effective sizes for every seed and scalar."""
    steps = max(4 * LAGS, settings.steps(STEPS)) // T * T
    one = partial(one_seed, train_steps=min(TRAINED, settings.steps(TRAINED)), steps=steps)
    return {"memory": steps - steps // 3, "runs": each(one, settings.all_seeds(), settings.jobs)}


def one_seed(seed: int, train_steps: int, steps: int) -> Data:
    """What :func:`sizes` finds for each scalar, along a policy that is trained briefly and then frozen."""
    quiet = ("vectorization=sync", "device=cpu", "threads=1")
    cfg = load_config("env=cartpole_study", *quiet, f"n_step={T}", f"seed={seed}", f"total_steps={train_steps}")
    recorded = record(trained(cfg), cfg, STREAMS, steps)
    draws = Draws(STREAMS, DRAWS, N, T, np.random.default_rng(seed))
    return {scalar: sizes(series, draws) for scalar, series in recorded.items()}


def sizes(series: np.ndarray, draws: Draws) -> Data:
    """Autocorrelation of a series ``[L, E]`` along its streams, and effective sizes of batches from it.

    The last two thirds of the series count as its stationary part, long after the common reset.
    """
    steps = len(series)
    begin, spread = steps // 3, steps // 6
    late = series[begin:]
    rho = autocorrelation(late, LAGS)
    windows = cache(lambda length: window_means(series, length))

    def size(batch: Batch) -> float:
        return effective_size(means(batch, windows), float(late.mean()), float(late.var()))

    ages = range(0, begin - EARLY + 1, EARLY)
    return {
        "rho": rho.tolist(),
        "size": {
            "one": size(draws.one(begin, steps)),
            "replay": size(draws.replay(begin, steps)),
            "many": size(draws.many(begin, steps)),
            "together": size(draws.many(0, EARLY)),
            "staggered": size(draws.many(0, EARLY, spread)),
        },
        "from_rho": size_within_stream(rho, draws.num_envs * draws.n_step),
        "ages": [age + EARLY / 2 for age in ages],
        "by_age": {
            "together": [size(draws.many(age, age + EARLY)) for age in ages],
            "staggered": [size(draws.many(age, age + EARLY, spread)) for age in ages],
        },
    }


def judge(data: Data) -> Judgement:
    """Supported: for every scalar, N environments' effective size is above one environment's, and a common reset is
    harmless. Only under conditions: above for some scalars only, or a common reset is not shown to be harmless. Not
    supported: above for none.

    Each by the 95 % interval of a ratio over seeds. That of just after a common reset to long after it decides on the
    reset: smaller, if the interval is below 1; else harmless, if it is above HARMLESS; else undecided.
    """
    numbers, better, worse, broken, repaired, harmless, told = [], [], [], [], [], [], []
    for scalar in SCALARS:
        found = {kind: _sizes(data, scalar, kind) for kind in KINDS}
        gain, loss = ratio(found["many"], found["one"]), ratio(found["together"], found["many"])
        back = ratio(found["staggered"], found["together"])
        better += [scalar] if gain.low > 1.0 else []
        worse += [scalar] if gain.high < 1.0 else []
        broken += [scalar] if loss.high < 1.0 else []
        harmless += [scalar] if loss.low > HARMLESS and loss.high >= 1.0 else []
        repaired += [scalar] if loss.high < 1.0 < back.low else []
        sizes_of = {kind: geometric_mean(found[kind]) for kind in KINDS}
        numbers += [_number(f"{scalar}: n_eff, {what}", sizes_of[kind]) for kind, what in KINDS.items()]
        told.append(f"{sizes_of['many'].value:.3g} against {sizes_of['one'].value:.3g} ({scalar})")
        predicted = geometric_mean([run[scalar]["from_rho"] for run in data["runs"]])
        numbers.append(_number(f"{scalar}: n_eff of one environment, from its autocorrelation", predicted))
        numbers.append(_number(f"{scalar}: {N} environments against one", gain))
        numbers.append(_number(f"{scalar}: just reset together against long after", loss))
    undecided = [scalar for scalar in SCALARS if scalar not in broken + harmless]
    why = (
        f"The criterion: for every quantity, a batch of {BATCH} has a larger effective size from {N} environments than "
        "from one, and a common reset is harmless: the 95 % interval of the ratio of sizes, just after it to long "
        f"after it, is above {HARMLESS}, and not below 1. Larger for: {_list(better)}. "
        f"Smaller, against the claim, for: {_list(worse)}. n_eff of a batch of {BATCH} from {N} environments, long "
        f"after the reset, against one: {', '.join(told)}; {BATCH} would be no correlation at all. "
        f"Smaller just after a common reset for: {_list(broken)}. Harmless for: {_list(harmless)}. "
        f"Undecided for: {_list(undecided)}."
    )
    if broken:
        why += (
            " So it takes environments in different phases of their episodes. Warm-up steps of random length bring "
            f"back some of it, or all, for: {_list(repaired)}."
        )
    whole = len(better) == len(harmless) == len(SCALARS)
    verdict = Verdict.SUPPORTED if whole else Verdict.CONDITIONAL if better else Verdict.NOT_SUPPORTED
    return Judgement(verdict, why, numbers)


def _sizes(data: Data, scalar: str, kind: str) -> list[float]:
    return [run[scalar]["size"][kind] for run in data["runs"]]


def _number(name: str, found: Estimate) -> Number:
    return Number(name, found.value, found.low, found.high)


def _list(names: list[str]) -> str:
    return ", ".join(names) or "none"


def draw(data: Data) -> Figure:
    """Autocorrelation along one environment; effective sizes by age since a common reset, and by kind of batch."""
    figure = new_figure(9.0, 6.8)
    grid = figure.add_gridspec(2, 1, height_ratios=[1, 1.05])
    above, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    left, right = above.subplots(1, 2)
    _draw_autocorrelation(left, data)
    _draw_ages(right, data, "value V(s)")
    _draw_sizes(below.subplots(), data)
    return figure


def _draw_autocorrelation(axes: Axes, data: Data) -> None:
    tidy(axes)
    for scalar, color in COLORS.items():
        rho = np.array([run[scalar]["rho"] for run in data["runs"]])
        _band(axes, np.arange(rho.shape[1]), [mean_interval(column) for column in rho.T], color, scalar)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_ylim(-0.3, 1.05)
    axes.set_xlabel("steps apart, in one environment")
    axes.set_ylabel("autocorrelation")
    axes.legend(fontsize=8.5, frameon=False)


def _draw_ages(axes: Axes, data: Data, scalar: str) -> None:
    tidy(axes)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    for kind, color, label in (("staggered", GREEN, "staggered"), ("together", RED, "reset together")):
        found = np.array([run[scalar]["by_age"][kind] for run in data["runs"]])
        ages = np.asarray(data["runs"][0][scalar]["ages"])
        _band(axes, ages, [geometric_mean(column) for column in found.T], color, label)
    axes.axhline(BATCH, color=GREY, linestyle="--", linewidth=1)
    axes.set_xlabel(f"steps since {N} environments began")
    axes.set_ylabel(f"n_eff, {scalar}")
    axes.legend(fontsize=8.5, frameon=False)


def _band(axes: Axes, x: np.ndarray, bands: list[Estimate], color: str, label: str) -> None:
    axes.plot(x, [band.value for band in bands], color=color, linewidth=1.5, label=label)
    low, high = [band.low for band in bands], [band.high for band in bands]
    axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)


def _draw_sizes(axes: Axes, data: Data) -> None:
    tidy(axes)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    for shift, (scalar, color) in enumerate(COLORS.items()):
        found = [geometric_mean(_sizes(data, scalar, kind)) for kind in KINDS]
        reach = [[size.value - size.low for size in found], [size.high - size.value for size in found]]
        places = np.arange(len(KINDS)) + 0.2 * (shift - 1)
        values = [size.value for size in found]
        axes.errorbar(values, places, xerr=reach, fmt="o", color=color, capsize=3, markersize=5, label=scalar)
    axes.axvline(BATCH, color=GREY, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(KINDS)), list(KINDS.values()), fontsize=9)
    axes.invert_yaxis()
    axes.set_xlabel(f"n_eff, effective size of a batch of {BATCH} (dashed: if all were independent), 95 % intervals")


CLAIM = Claim(
    key="decorrelation",
    title="Consecutive samples of one environment are correlated; those of N environments are less so",
    says=(
        "Steps that follow each other look alike, so that a batch of them says less than its size promises. "
        "Environments that run side by side are in different situations: a batch from them is less correlated, without "
        "a replay memory."
    ),
    formula=(
        "ρ_k = Cov(x_t, x_{t+k}) / Var(x)\n"
        "n_{eff} = Var(x) / E[(x̄ - E[x])^2], x̄ the mean over a batch\n"
        "n_{eff} = n / (1 + 2 Σ_k (1 - k/n) ρ_k) for n consecutive steps"
    ),
    method=f"""\
Each seed trains a policy on CartPole for {TRAINED:,} steps and freezes it. It then records {STREAMS} environments, all
reset together, for {STEPS:,} steps each. Three numbers of every transition count: the cart's distance from the centre,
the critic's value, and the advantage as an update with T = {T} computes it. The signed position would mislead: its mean
is 0 in every phase, so that carts just put at the centre would seem a perfect sample of it.

Batches of {BATCH} are {N} × {T} steps, or {BATCH} steps of one environment: in a row, or from a replay memory of its
last {STEPS * 2 // 3:,} steps. The effective size of a kind of batch comes from the means of {DRAWS:,} of them, by their
mean squared distance from the mean over all late samples. "Just reset" is within {EARLY} steps; staggered environments
first took a random number of warm-up steps, up to {STEPS // 6}. Intervals: Student's t over seeds, of logarithms.

Advantages along one trajectory are special: V(s_t) enters one with a plus and the next with a minus, so that the
critic's errors cancel in their sum, except at the ends of short pieces.""",
    code=(
        "a2c/study/measures/series.py: autocorrelation, effective_size, size_within_stream",
        "a2c/study/streams.py: record, Draws",
        "a2c/collecting/collector.py: Collector",
    ),
    measure=measure,
    judge=judge,
    draw=draw,
)
