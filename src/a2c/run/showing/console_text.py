"""The words and columns of the console: pure functions from numbers to text, without a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from a2c.machine.clock import EVAL, LOOP
from a2c.run.showing.figures import duration, number, relative, spread
from a2c.settings.config import Config

SHOWN = 0.005  # smaller shares show as 0%
PARTS = {EVAL: "evaluation"}  # the long name, where there is room


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the progress table."""

    title: str
    width: int
    cell: Callable[[Mapping[str, Any]], str]
    rank: int  # a narrow terminal drops the highest first


def _metric(name: str, digits: int = 1) -> Callable[[Mapping[str, Any]], str]:
    return lambda metrics: number(metrics.get(name), digits)


def _evaluation(metrics: Mapping[str, Any]) -> str:
    if metrics.get("eval/mean_reward") is None:
        return ""
    return spread(metrics["eval/mean_reward"], metrics.get("eval/std_reward"))


def _share(part: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda metrics: "-" if (share := metrics.get(f"time/{part}_frac")) is None else f"{share:.0%}"


COLUMNS = (
    Column("steps", 7, lambda metrics: f"{metrics['steps']:,}", 0),
    Column("time", 6, lambda metrics: duration(metrics["elapsed"]), 3),
    Column("steps/s", 7, lambda metrics: number(metrics.get("time/fps"), 0), 4),
    Column("return", 8, _metric("rollout/ep_rew_mean"), 0),
    Column("length", 7, _metric("rollout/ep_len_mean"), 5),
    Column("entropy", 7, _metric("train/entropy", 3), 6),
    Column("v loss", 8, _metric("train/value_loss", 3), 8),
    Column("expl var", 8, _metric("train/explained_variance", 2), 7),
    Column("env", 4, _share("env"), 9),  # where the time went, all four or none
    Column("copy", 4, _share("transfer"), 9),
    Column("act", 4, _share("act"), 9),
    Column("upd", 4, _share("update"), 9),
    Column("eval", 12, _evaluation, 1),
)


LAG = Column("lag", 5, _metric("train/lag_mean", 2), 8)  # of A3C's gradients


OWN = ("episode/", "callback/")  # prefixes of the metrics that a user asks for or makes
MOST_OWN = 2  # columns of them: as many as fit in the place of the shares of time


def columns_of(cfg: Config, own: Sequence[str] = ()) -> tuple[Column, ...]:
    """The columns for the algorithm, of which only A3C has a lag, and for the user's own metrics ``own``."""
    added = [Column(name.partition("/")[2][:8], 8, _metric(name, 3), 8) for name in own[:MOST_OWN]]
    return (*COLUMNS[:-1], *([LAG] if cfg.algo == "a3c" else []), *added, COLUMNS[-1])


def fitting(columns: Sequence[Column], width: int, total_steps: int) -> tuple[list[Column], int]:
    """The columns that fit into ``width`` characters, in their order, and the gap between them (1 to 3)."""
    steps, *rest = columns
    kept = [replace(steps, width=max(steps.width, len(f"{total_steps:,}"))), *rest]
    while len(kept) > 1 and sum(column.width + 1 for column in kept) - 1 > width:
        last = max(column.rank for column in kept[1:])
        kept = [kept[0], *(column for column in kept[1:] if column.rank < last)]
    room = width - sum(column.width for column in kept)
    return kept, max(1, min(3, room // max(1, len(kept) - 1)))


def table_line(cells: Sequence[str], columns: Sequence[Column], gap: int) -> str:
    """Right-aligned cells; one that is too wide pushes the rest rather than losing digits."""
    return (" " * gap).join(cell.rjust(column.width) for cell, column in zip(cells, columns, strict=True)).rstrip()


def brief_splits(metrics: Mapping[str, Any]) -> tuple[str, str]:
    """A row's shares as ``env 41% act 28% update 30%``, and the largest alone: ``env 41%``; empty before any row."""
    parts = {part: share for part in (*LOOP, EVAL) if (share := metrics.get(f"time/{part}_frac")) is not None}
    shown = [f"{part} {share:.0%}" for part, share in parts.items() if share >= SHOWN]
    return " ".join(shown), max(shown, key=lambda text: parts[text.split()[0]], default="")


def split(parts: Mapping[str, float]) -> str:
    """Where the time went, like ``env 41%, act 28%, update 30%``, without what rounds to nothing."""
    return ", ".join(f"{PARTS.get(part, part)} {share:.0%}" for part, share in parts.items() if share >= SHOWN)


def verdict(summary: Mapping[str, Any]) -> str:
    """``SOLVED``, ``not solved``, or nothing where the environment has no threshold or nothing was evaluated."""
    if summary.get("solved") is None:
        return ""
    return "SOLVED" if summary["solved"] else "not solved"


def outcome(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The end panel as (label, text) lines."""
    lines = [("score", _score(summary))]
    if summary.get("eval_mean") is not None:  # the last row may show another score, of the last network
        lines.append(("", f"score of the best checkpoint (step {summary['best_step']:,})"))
    if summary.get("ended"):
        lines.append(("ended", summary["ended"]))
    trained = f"{summary['env_steps']:,} steps, {summary.get('episodes') or 0:,} episodes in "
    lines.append(("trained", f"{trained}{duration(summary['wall_time'])} ({number(summary.get('fps'), 0)} steps/s)"))
    lines.append(("time", split(summary["time"])))
    lines += [("" if index else "advice", line) for index, line in enumerate(summary["advice"])]
    folder = Path(summary["folder"])
    lines.append(("run", relative(folder)))
    kept = [summary.get(name) for name in ("curve", "gif", "best_checkpoint")]
    lines.append(("files", "  ".join(os.path.relpath(path, folder) for path in kept if path)))
    if summary["trace"]:
        lines.append(("trace", f"{os.path.relpath(summary['trace'], folder)}: open it at https://ui.perfetto.dev"))
    return lines


def _score(summary: Mapping[str, Any]) -> str:
    if summary.get("eval_mean") is None:
        return "not evaluated (eval.episodes=0)" if summary.get("eval_episodes") == 0 else "not evaluated"
    score = f"{number(summary['eval_mean'])} ± {number(summary['eval_std'])}"
    text = f"{score} over {summary['eval_episodes']} episodes"
    if summary.get("eval_cut"):
        text += f" ({summary['eval_cut']} cut by eval.max_steps)"
    if summary.get("reward_threshold") is None:
        return f"{text} (no threshold is registered)"
    return f"{text}, threshold {summary['reward_threshold']:g}: {verdict(summary)}"
