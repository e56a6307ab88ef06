"""The text of docs/presets.md: every preset with a picture, its score, and its settings with their reasons."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from learning_tables import in_markdown, met_by, spread
from learning_tasks import TABLES, Table, Task
from processes import HERE, stored

from a2c.settings.compose import presets
from a2c.storage.atomic import write_text

DOCS = HERE.parent / "docs"
PAGE, PICTURES = DOCS / "presets.md", DOCS / "images" / "presets"
RESULTS = HERE / "results"
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
    return sorted(presets().keys() - {NO_PRESET}, key=lambda name: (name.endswith(STUDY), name))


def write_page() -> None:
    """Write docs/presets.md from conf/env, the pictures and the stored results."""
    write_text(PAGE, page())


def page() -> str:
    """The text of docs/presets.md as they are now."""
    scores = list(_scores())
    return HEAD + _gallery() + "".join(_section(name, [text for of, text in scores if of == name]) for name in names())


def _gallery() -> str:
    shown = [f"[{_picture(name)}](#{name})<br>`{name}`" for name in names() if _picture(name)]
    return in_markdown(shown[start : start + IN_A_ROW] for start in range(0, len(shown), IN_A_ROW)) if shown else ""


def _picture(name: str) -> str:
    exists = (PICTURES / f"{name}.gif").exists()
    return f"![an agent of env={name}](images/presets/{name}.gif)" if exists else ""


def _section(name: str, scores: list[str]) -> str:
    lines = presets()[name].read_text().splitlines(keepends=True)
    settings = "".join(line for line in lines if not _is_heading(line))
    told = "\n".join(scores) or "Not measured over seeds."
    return f"\n## {name}\n\n{told}\n\n```yaml\n{settings}```\n"


def _is_heading(line: str) -> bool:
    return line.startswith(("# @package", "# make train"))


def _scores() -> Iterator[tuple[str, str]]:
    """Every stored score of a preset: its name and a line."""
    for file, table in TABLES.items():
        results: dict[str, Any] = stored(RESULTS / f"{file}.json").get("tasks", {})
        for task_name, task in table.tasks.items():
            if task_name in results:
                yield task.overrides[0].removeprefix("env="), _score(table, task, results[task_name]["runs"])
    for name in names():
        if kept := stored(RESULTS / f"{name}.json"):  # a long run, once (learning.py --record)
            steps = f"{kept['env_steps'] / 1e6:.3g}M steps"
            yield name, f"- `{kept['command']}`: **{kept['score']:.1f}** ± {kept['std']:.1f}, one run of {steps}"


def _score(table: Table, task: Task, runs: list[dict[str, Any]]) -> str:
    command = shlex.join(("make", "train", *task.overrides))
    steps = f"{max(run['env_steps'] for run in runs) / 1e6:.3g}M steps"
    score = spread([run["score"] for run in runs], task.digits)
    reached = f"{met_by(task, runs)} of {len(runs)} seeds reach {task.floor:g}"
    known = f"; {table.curve}: {task.known}" if task.known else ""
    return f"- `{command}`: {score} after {steps}; {reached}{known}"
