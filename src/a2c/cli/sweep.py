"""``a2c sweep``: search settings on this machine, by the file that ``wandb sweep`` takes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from a2c.cli.command import read_arguments
from a2c.cli.exit_codes import exit_code_of_stop
from a2c.collecting.preflight import check_settings
from a2c.errors import ConfigError, RunIOError
from a2c.settings.compose import load_config
from a2c.settings.overrides import quote
from a2c.settings.setting import setting
from a2c.settings.trust import FLAG, ask_for_trust, code_of
from a2c.storage.atomic import write_text
from a2c.sweeps.sweep_file import Sweep, read_sweep

USAGE = """\
Usage: a2c sweep FILE [KEY=VALUE ...]

  a2c sweep conf/sweep/pendulum.yaml                           every combination of a grid
  a2c sweep conf/sweep/lunarlander.yaml trials=30 seeds=3      thirty trials, each over three seeds

  --trust    let env.id of the file import a module

The same command goes on with a sweep that was stopped, its unfinished runs included. Ctrl-C stops it in order.

Settings:"""
SAVED = "sweep.yaml"


@dataclass(slots=True)
class SweepCommand:
    """Which sweep, and how much of it."""

    file: str = setting("YAML as wandb sweep takes it")
    trials: int | None = setting("trials in all; null: every combination of a grid, or run_cap of the file", low=1)
    seeds: int = setting("runs of a trial, with seeds 1, 2, ...; it counts by the interquartile mean of theirs", low=1)
    jobs: int = setting("trials at once", low=1)
    seed: int = setting("seed of the search", low=0, high=2**31 - 1)
    folder: str | None = setting("folder of runs, journal and report; null: runs/sweeps/NAME")


def run(arguments: Sequence[str]) -> int:
    """Do the sweep that the command line names; returns the exit code."""
    words = [word for word in arguments if word != FLAG]
    named = [word if "=" in word or word.startswith("-") else f"file={quote(word)}" for word in words]
    command = read_arguments(named, SweepCommand, "sweep", USAGE)
    if command is None:
        return 0
    path = Path(command.file)
    sweep = read_sweep(path)
    trials = _trials(command, sweep)
    _check_values(sweep, command.seeds, path if FLAG not in arguments else None)
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("a2c sweep needs optuna: pip install optuna (the extra a2c[sweep])")
    folder = Path(command.folder or Path("runs") / "sweeps" / sweep.name)
    _claim(folder, path, sweep)
    from a2c.sweeps.search import open_study
    from a2c.sweeps.sweep_report import summary_of, write_best, write_report
    from a2c.sweeps.sweep_screen import SweepScreen
    from a2c.sweeps.sweeping import search
    from a2c.sweeps.trial_runs import Plan
    from a2c.sweeps.trial_watch import TrialWatch

    study = open_study(sweep, folder)
    plan = Plan(sweep, folder.absolute(), trials, command.seeds, command.jobs, command.seed)
    with SweepScreen(TrialWatch(study, plan), sweep, trials) as screen:
        outcome = search(study, plan, screen.tell)
    preset = write_best(study, sweep, folder)
    print("\n".join(summary_of(study, sweep, preset)))
    print(write_report(study, sweep, folder, preset))
    if outcome.signal is not None:
        return exit_code_of_stop(outcome.signal)
    return next(iter(outcome.failed), 0)


def _trials(command: SweepCommand, sweep: Sweep) -> int:
    if sweep.method == "grid":
        size = 1
        for parameter in sweep.parameters.values():
            size *= len(parameter.choices)
        return min(size, command.trials or sweep.cap or size)
    trials = command.trials or sweep.cap
    if trials is None:
        raise ConfigError(f"method={sweep.method} never ends: add trials=N, or run_cap to {command.file}")
    return trials


def _check_values(sweep: Sweep, seeds: int, untrusted: Path | None) -> None:
    """Refuse a value that is not valid before anything runs; each is tried beside the first ones of the others.

    A file that is ``untrusted`` may import no module.
    """
    if seeds > 1 and "seed" in sweep.parameters:
        raise ConfigError("seed is among the parameters; leave out seeds=, or take it out there")
    ends = {
        name: list(parameter.choices) or [_end(end, parameter.whole) for end in (parameter.low, parameter.high)]
        for name, parameter in sweep.parameters.items()
    }
    first = {name: values[0] for name, values in ends.items()}
    for name, values in ends.items():
        for value in values:
            settings = {**first, name: value}
            cfg = load_config(*sweep.overrides, *(f"{key}={text}" for key, text in settings.items()))
            if untrusted is not None:
                ask_for_trust(code_of(cfg), str(untrusted), f"trust the file ({FLAG})")
            check_settings(cfg)


def _end(value: float, whole: bool) -> str:
    return str(int(value)) if whole else repr(value)


def _claim(folder: Path, path: Path, sweep: Sweep) -> None:
    """Make the folder, or see that it is of this sweep."""
    saved = folder / SAVED
    try:
        if not saved.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_text(saved, path.read_text(encoding="utf-8"))
        elif read_sweep(saved) != sweep:
            raise ConfigError(f"{folder} belongs to another sweep (its {SAVED} differs); choose another folder=")
    except OSError as error:
        raise RunIOError(f"cannot write {error.filename or folder}: {error.strerror or error}") from error
