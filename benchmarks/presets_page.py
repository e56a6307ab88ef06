"""The text of docs/presets.md: every preset with a picture, its score, and its settings with their reasons."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from learning_tables import met_by
from learning_tasks import TABLES, Table, Task
from processes import HERE, stored

from a2c.run.statistics import bootstrap_interval, iqm
from a2c.storage.atomic import write_text

DOCS = HERE.parent / "docs"
PAGE, PICTURES = DOCS / "presets.md", DOCS / "images" / "presets"
RESULTS, CONF = HERE / "results", HERE.parent / "conf" / "env"
NO_PRESET = "custom"  # what every environment without a preset gets
STUDY = "_study"  # how presets end that have the settings with which the study was measured
IN_A_ROW = 4

HEAD = """\
# Presets

`make train env=NAME` trains one; whatever you add wins: `make train env=lunarlander seed=2 lr=1e-3`. What a preset does
not name is [what any environment gets](defaults.md). Pictures are of the best checkpoint of one run, greedy. Scores are
of the best checkpoints of several seeds, on episodes that neither training nor the choice of the checkpoint has seen:
IQM with its 95 % interval.

"""


def names() -> list[str]:
    """All presets, those of the study last."""
    found = [path.stem for path in CONF.glob("*.yaml") if path.stem != NO_PRESET]
    return sorted(found, key=lambda name: (name.endswith(STUDY), name))


def write_page() -> None:
    """Write docs/presets.md from conf/env, the pictures and the stored results."""
    write_text(PAGE, page())


def page() -> str:
    """The text of docs/presets.md as they are now."""
    return HEAD + _gallery() + "".join(_section(name) for name in names())


def _gallery() -> str:
    shown = [f"[{_picture(name)}](#{name})<br>`{name}`" for name in names() if _picture(name)]
    rows = [shown[start : start + IN_A_ROW] for start in range(0, len(shown), IN_A_ROW)]
    rows[1:1] = [["---"] * len(row) for row in rows[:1]]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _picture(name: str) -> str:
    exists = (PICTURES / f"{name}.gif").exists()
    return f"![an agent of env={name}](images/presets/{name}.gif)" if exists else ""


def _section(name: str) -> str:
    settings = "".join(
        line for line in (CONF / f"{name}.yaml").read_text().splitlines(keepends=True) if not _is_heading(line)
    )
    scores = "\n".join(_scores(name)) or "Not measured over seeds."
    return f"\n## {name}\n\n{scores}\n\n```yaml\n{settings}```\n"


def _is_heading(line: str) -> bool:
    return line.startswith(("# @package", "# make train"))


def _scores(name: str) -> Iterator[str]:
    for file, table in TABLES.items():
        results: dict[str, Any] = stored(RESULTS / f"{file}.json").get("tasks", {})
        for task_name, task in table.tasks.items():
            if task.overrides[0] == f"env={name}" and task_name in results:
                yield _score(table, task, results[task_name]["runs"])
    if kept := stored(RESULTS / f"{name}.json"):  # a long run, once (learning.py --record)
        steps = f"{kept['env_steps'] / 1e6:.3g}M steps"
        yield f"- `{kept['command']}`: **{kept['score']:.1f}** ± {kept['std']:.1f}, one run of {steps}"


def _score(table: Table, task: Task, runs: list[dict[str, Any]]) -> str:
    scores = [run["score"] for run in runs]
    (low, high), digits = bootstrap_interval(scores), task.digits
    command = shlex.join(("make", "train", *task.overrides))
    steps = f"{max(run['env_steps'] for run in runs) / 1e6:.3g}M steps"
    score = f"**{iqm(scores):.{digits}f}** [{low:.{digits}f}, {high:.{digits}f}]"
    reached = f"{met_by(task, runs)} of {len(runs)} seeds reach {task.floor:g}"
    known = f"; {table.curve}: {task.known}" if task.known else ""
    return f"- `{command}`: {score} after {steps}; {reached}{known}"
