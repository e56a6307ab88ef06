"""Tables and curves of what learning.py stored."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from learning_tasks import Table, Task

from a2c.run.showing.learning_curves import LearningCurve, draw_learning_curves
from a2c.run.statistics import bootstrap_interval, iqm
from a2c.storage.atomic import write_text

Runs = list[dict[str, Any]]


def draw(table: Table, results: dict[str, Any], path: Path) -> None:
    """Write the table to ``path`` with the suffix .md, and the curves to the same with .png."""
    text = markdown(table, results)
    print(text)
    for name, result in results["tasks"].items():
        task, runs = table.tasks[name], result["runs"]
        if (met := met_by(task, runs)) < task.needed:
            needed = f"{task.needed} of {len(task.seeds)} are needed"
            print(f"{name}: the floor of {task.floor:g} is met by {met} of {len(runs)} runs, and {needed}")
    write_text(path.with_suffix(".md"), text)
    curves = {name: _curve(table, table.tasks[name], result["runs"]) for name, result in results["tasks"].items()}
    print(draw_learning_curves(curves, path.with_suffix(".png")))


def markdown(table: Table, results: dict[str, Any]) -> str:
    """The table in Markdown, a row for each task that has runs."""
    rows = [_row(table, name, table.tasks[name], result) for name, result in results["tasks"].items()]
    text = in_markdown([list(rows[0]), *(list(row.values()) for row in rows)])
    return text.replace("| --- ", "|---").replace("|--- |", "|---|")


def in_markdown(rows: Iterable[list[str]]) -> str:
    """Rows as a table in Markdown; the first is the heading."""
    heading, *others = rows
    lines = [heading, ["---"] * len(heading), *others]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def spread(scores: list[float], digits: int) -> str:
    """IQM and 95 % interval of scores, so: ``**3.0** [2.0, 4.0]``."""
    low, high = bootstrap_interval(scores)
    return f"**{iqm(scores):.{digits}f}** [{low:.{digits}f}, {high:.{digits}f}]"


def placed(table: str, name: str, document: str) -> str:
    """A document with another table in the place of the one behind ``<!-- NAME -->``.

    Raises:
        ValueError: it has no such comment.
    """
    before, mark, behind = document.partition(f"<!-- {name} -->\n")
    if not mark:
        raise ValueError(f"no <!-- {name} -->")
    _, _, rest = behind.lstrip("\n").partition("\n\n")
    return f"{before}{mark}\n{table}\n{rest}"


def met_by(task: Task, runs: Runs) -> int:
    """How many runs reached the floor."""
    return sum(run["score"] >= task.floor for run in runs)


def steps_to(floor: float, run: dict[str, Any]) -> float:
    """Env steps of the first evaluation that reached the floor; infinite if none did."""
    evaluations = zip(run["curve"]["env_steps"], run["curve"]["eval_mean"], strict=True)
    return next((steps for steps, score in evaluations if score >= floor), math.inf)


def _row(table: Table, name: str, task: Task, result: dict[str, Any]) -> dict[str, str]:
    runs: Runs = result["runs"]
    scores = [run["score"] for run in runs]
    digits = task.digits
    first = median(steps_to(task.floor, run) for run in runs)
    more = {
        "aim": f"{task.aim:g}",
        "steps to the floor": f"{first / 1e3:.0f}k" if math.isfinite(first) else "not reached",
        "episodes": f"{task.episodes:,}",
    }
    without = result.get("untrained", {})
    chance = {
        heading: f"{score:z.{digits}f}" if (score := without.get(key)) is not None else ""
        for key, heading in (("random", "random policy"), ("idle", "doing nothing"))
    }
    return {
        "preset" if not table.more else "task": name,
        "seeds": str(len(runs)),
        "steps": f"{round(max(run['env_steps'] for run in runs) / 1e6, 1):g}M",
        "IQM [95 % interval]": spread(scores, digits),
        "worst seed": f"{min(scores):.{digits}f}",
        "floor": f"{task.floor:g}: {met_by(task, runs)} of {len(runs)}",
        **(more if table.more else {}),
        **(chance if table.untrained else {}),
        table.known: str(task.known or ""),
        "seconds a run": f"{sorted(run['wall_seconds'] for run in runs)[len(runs) // 2]:.0f}",
    }


def _curve(table: Table, task: Task, runs: Runs) -> LearningCurve:
    return {
        "env_steps": runs[0]["curve"]["env_steps"],
        "scores": [run["curve"]["eval_mean"] for run in runs],
        "floor": task.floor,
        "aim": task.aim,
        "known": task.known and (table.curve, task.known.mean),
    }
