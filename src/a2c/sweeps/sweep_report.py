"""What a sweep has found: a table, a picture and a page."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from a2c.run.showing.figures import NOTHING, aligned, relative
from a2c.run.showing.html_page import inlined, render
from a2c.storage.atomic import write_text
from a2c.sweeps.search import best, typed
from a2c.sweeps.sweep_file import Sweep
from a2c.sweeps.sweep_picture import draw_sweep

SHOWN = 10  # lines of the table on the screen
TEMPLATE = Path(__file__).with_name("sweep.html")
STATES = {TrialState.PRUNED: "ended early", TrialState.FAIL: "failed", TrialState.RUNNING: "not finished"}


def summary_of(study: optuna.Study, sweep: Sweep) -> list[str]:
    """The best trials as a table, and the command that trains with the values of the best."""
    lines = _lines(_ranked(study, sweep), sweep)
    more = len(lines) - SHOWN
    text = aligned([_head(sweep), *lines[:SHOWN]], words=0)
    text += [f"and {more} more"] if more > 0 else []
    command = command_of(study, sweep)
    return [*text, *([] if command is None else [command])]


def write_report(study: optuna.Study, sweep: Sweep, folder: Path) -> str:
    """Write ``report.html`` and ``sweep.png`` into the folder; returns the path of the page.

    Raises:
        OSError: they cannot be written.
    """
    picture = draw_sweep(study, sweep, folder / "sweep.png")
    text = render(
        TEMPLATE,
        name=sweep.name,
        metric=sweep.metric,
        goal="the more, the better" if sweep.maximize else "the less, the better",
        method=sweep.method,
        head=_head(sweep),
        lines=_lines(_ranked(study, sweep), sweep),
        command=command_of(study, sweep),
        figure=inlined(picture.read_bytes()),
    )
    return relative(write_text(folder / "report.html", text))


def command_of(study: optuna.Study, sweep: Sweep) -> str | None:
    """The command that trains with the values of the best trial; None: none has ended yet."""
    leader = best(study)
    if leader is None:
        return None
    return shlex.join(["a2c", "train", *sweep.overrides, *(f"{key}={text}" for key, text in typed(leader).items())])


def _ranked(study: optuna.Study, sweep: Sweep) -> list[FrozenTrial]:
    """Trials that have begun, the best first, those without a score at the end."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if trial.state is not TrialState.WAITING]
    done = [trial for trial in trials if trial.state is TrialState.COMPLETE]
    done.sort(key=lambda trial: trial.value or 0.0, reverse=sweep.maximize)
    return [*done, *(trial for trial in trials if trial.state is not TrialState.COMPLETE)]


def _head(sweep: Sweep) -> list[str]:
    return ["trial", *sweep.parameters, "score"]


def _lines(trials: Sequence[FrozenTrial], sweep: Sweep) -> list[list[str]]:
    lines = []
    for trial in trials:
        values = typed(trial)
        score = STATES.get(trial.state) or f"{trial.value:.4g}"
        lines.append([str(trial.number), *(values.get(name, NOTHING) for name in sweep.parameters), score])
    return lines
