"""What a sweep has found: a table and commands on the screen, a preset, and a page."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from a2c.run.showing.figures import NOTHING, aligned, relative
from a2c.settings.redaction import redact_argument
from a2c.storage.atomic import write_text
from a2c.sweeps.best_preset import Preset, write_preset
from a2c.sweeps.importance import FEWEST, importances
from a2c.sweeps.search import best, typed
from a2c.sweeps.sweep_file import Parameter, Sweep
from a2c.sweeps.sweep_page import page_of

SHOWN = 10  # lines of the table on the screen
STATES = {TrialState.PRUNED: "ended early", TrialState.FAIL: "failed", TrialState.RUNNING: "not finished"}


def summary_of(study: optuna.Study, sweep: Sweep, preset: Preset | None = None) -> list[str]:
    """The best trials as a table, what each setting decided, and the commands that train with the best values."""
    lines = _lines(_ranked(study, sweep), sweep)
    more = len(lines) - SHOWN
    text = aligned([_head(sweep), *lines[:SHOWN]], words=0)
    text += [f"and {more} more"] if more > 0 else []
    shares = importances(study, sweep)
    text += (
        [] if shares is None else [f"importance: {', '.join(f'{name} {part:.0%}' for name, part in shares.items())}"]
    )
    text += [] if preset is None else [preset.command]
    command = command_of(study, sweep)
    return [*text, *([] if command is None else [command])]


def write_best(study: optuna.Study, sweep: Sweep, folder: Path) -> Preset | None:
    """Write the values of the best trial as a preset into the folder of the sweep; None: no trial is done.

    Raises:
        OSError: it cannot be written.
    """
    leader = best(study)
    if leader is None:
        return None
    why = [f"The sweep {sweep.name} found it: trial {leader.number}, {sweep.metric} {leader.value:.4g}."]
    shares = importances(study, sweep) or {}
    reasons = {name: _reason(parameter, shares.get(name)) for name, parameter in sweep.parameters.items()}
    return write_preset(_overrides(leader, sweep), why, reasons, folder)


def write_report(study: optuna.Study, sweep: Sweep, folder: Path, preset: Preset | None = None) -> str:
    """Write ``report.html`` into the folder; returns its path as one types it.

    Raises:
        ConfigError: the file of a confirmation is damaged.
        OSError: the page cannot be written.
    """
    ranked = _ranked(study, sweep)
    commands = {"Train with the best values": command_of(study, sweep)}
    if preset is not None:
        commands["The same, as a preset"] = preset.command
    if ranked:
        commands["Compare the runs"] = f"a2c compare {shlex.quote(relative(folder))}"
    if (folder / "wandb").is_dir():
        commands["Send them to W&B"] = f"wandb sync --yes {shlex.quote(relative(folder / 'wandb'))}"
    text = page_of(
        sweep,
        study.get_trials(deepcopy=False),
        folder,
        shares=importances(study, sweep),
        fewest=FEWEST,
        commands={what: command for what, command in commands.items() if command is not None},
        head=_head(sweep),
        lines=_lines(ranked, sweep),
    )
    return relative(write_text(folder / "report.html", text))


def command_of(study: optuna.Study, sweep: Sweep) -> str | None:
    """The command that trains with the values of the best trial; None: none has ended yet."""
    leader = best(study)
    return None if leader is None else shlex.join(["a2c", "train", *map(redact_argument, _overrides(leader, sweep))])


def _overrides(trial: FrozenTrial, sweep: Sweep) -> list[str]:
    return [*sweep.overrides, *(f"{key}={text}" for key, text in typed(trial).items())]


def _reason(parameter: Parameter, share: float | None) -> str:
    """Among what a value was found, and how much it decided."""
    found = (
        f"of {', '.join(parameter.choices)}" if parameter.choices else f"from {parameter.low:g} to {parameter.high:g}"
    )
    return " ".join(found.split()) + ("" if share is None else f"; importance {share:.0%}")


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
        values: Mapping[str, str] = typed(trial)
        score = STATES.get(trial.state) or f"{trial.value:.4g}"
        lines.append([str(trial.number), *(values.get(name, NOTHING) for name in sweep.parameters), score])
    return lines
