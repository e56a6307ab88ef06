"""curve.png: how one run learned, from its metrics.jsonl and summary.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from a2c.run.showing.figures import duration
from a2c.run.showing.style import BLUE, GREEN, GREY, ORANGE, RED, new_figure, save, tidy
from a2c.storage.metrics_file import METRICS, read_rows

Row = dict[str, Any]


def draw_curve(run: Path) -> Path:
    """Draw ``run/curve.png`` and return its path.

    Above: the mean return of training episodes and the evaluations (mean ± std) against env steps, with the
    environment's reward threshold dashed. Below: policy entropy and explained variance of the value function.
    If the run has no episodes, evaluations or summary.json (it was stopped early), draws what there is.

    Args:
        run: a run folder.
    """
    rows = read_rows(run / METRICS)
    summary = _summary(run)
    figure = new_figure(8.0, 5.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    _returns(above, rows, summary.get("reward_threshold"))
    _training(below, rows)
    figure.suptitle(_title(run, rows, summary), fontsize=11.5)
    figure.align_ylabels()
    return save(figure, run / "curve.png")


def _returns(axes: Axes, rows: Sequence[Row], threshold: float | None) -> None:
    tidy(axes)
    axes.set_ylabel("episode return")
    steps, returns = _series(rows, "rollout/ep_rew_mean")
    axes.plot(steps, returns, color=BLUE, linewidth=1.6, label="training episodes (mean)")
    evaluations = [row for row in rows if row.get("eval/mean_reward") is not None]
    if evaluations:
        axes.errorbar(
            [row["global_step"] for row in evaluations],
            [row["eval/mean_reward"] for row in evaluations],
            yerr=[row.get("eval/std_reward") or 0.0 for row in evaluations],
            color=ORANGE,
            fmt="o",
            markersize=4,
            capsize=2.5,
            linewidth=1,
            label="evaluation (mean ± std)",
        )
    if threshold is not None:
        axes.axhline(threshold, color=RED, linestyle="--", linewidth=1, label=f"reward threshold {threshold:g}")
    if not steps and not evaluations:
        axes.text(0.5, 0.5, "no episode has ended yet", transform=axes.transAxes, ha="center", color=GREY)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8.5, frameon=False, loc="best")


def _training(axes: Axes, rows: Sequence[Row]) -> None:
    tidy(axes)
    axes.set_xlabel("environment steps")
    steps, entropy = _series(rows, "train/entropy")
    axes.plot(steps, entropy, color=GREEN, linewidth=1.2)
    axes.set_ylabel("entropy", color=GREEN)
    right = axes.twinx()
    right.spines["top"].set_visible(False)
    right.tick_params(labelsize=9, color=GREY)
    steps, explained = _series(rows, "train/explained_variance")
    right.plot(steps, explained, color=GREY, linewidth=1.2)
    right.set_ylim(-0.55, 1.05)  # from useless to perfect; a wild start must not flatten the rest
    right.set_ylabel("explained\nvariance", color=GREY)


def _series(rows: Sequence[Row], name: str) -> tuple[list[int], list[float]]:
    """Steps and values of a metric where it has a value."""
    points = [(row["global_step"], row[name]) for row in rows if row.get(name) is not None]
    return [step for step, _ in points], [value for _, value in points]


def _summary(run: Path) -> dict[str, Any]:
    path = run / "summary.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def _title(run: Path, rows: Sequence[Row], summary: dict[str, Any]) -> str:
    steps = summary.get("env_steps") or (rows[-1]["global_step"] if rows else 0)
    parts = [summary.get("env_id") or run.parent.name]
    if summary.get("seed") is not None:
        parts.append(f"seed {summary['seed']}")
    parts.append(f"{steps:,} steps")
    if summary.get("wall_time") is not None:
        parts.append(duration(summary["wall_time"]))
    if summary.get("eval_mean") is not None:
        parts.append(f"final score {summary['eval_mean']:.1f} ± {summary['eval_std']:.1f}")
    return "  ·  ".join(parts)
