"""``a2c sweep``: search settings on this machine, by the file that ``wandb sweep`` takes."""

from __future__ import annotations

import contextlib
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
from a2c.sweeps.claims import choosing
from a2c.sweeps.parameter import ends
from a2c.sweeps.sweep_file import SCORE, Sweep, read_sweep

USAGE = """\
Usage: a2c sweep FILE [KEY=VALUE ...]

  a2c sweep conf/sweep/pendulum.yaml                           every combination of a grid
  a2c sweep conf/sweep/lunarlander.yaml trials=30 seeds=3      thirty trials, each over three seeds
  a2c sweep conf/sweep/lunarlander.yaml hours=8 confirm=5      over night, and the best again on five fresh seeds

  --trust    let env.id of the file import a module

The same command goes on with a sweep that was stopped, its unfinished runs included; in further terminals it helps.
Ctrl-C stops it in order, a second one at once.

Settings:"""
SAVED = "sweep.yaml"
MOST_TRIALS = 10_000  # where only hours= end the search


@dataclass(slots=True)
class SweepCommand:
    """Which sweep, and how much of it."""

    file: str = setting("YAML as wandb sweep takes it")
    trials: int | None = setting("trials in all; null: every combination of a grid, or run_cap of the file", low=1)
    hours: float | None = setting("after which this session begins no trial and stops those that run", low=0)
    seeds: int = setting("runs of a trial, with seeds 1, 2, ...; it counts by the median of theirs", low=1)
    confirm: int = setting("fresh seeds on which the best settings are trained again at the end", low=0)
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
    try:
        return _sweep(command, sweep, trials, folder)
    except BrokenPipeError:  # a2c sweep ... | head
        raise
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _sweep(command: SweepCommand, sweep: Sweep, trials: int, folder: Path) -> int:
    """Search, confirm and report; returns the exit code."""
    from a2c.sweeps.confirming import confirm, lines_of
    from a2c.sweeps.search import agree_on_seeds, open_study, unfinished
    from a2c.sweeps.sweep_report import summary_of, write_best, write_report
    from a2c.sweeps.sweep_screen import SweepScreen
    from a2c.sweeps.sweeping import search
    from a2c.sweeps.trial_runs import Plan
    from a2c.sweeps.trial_watch import TrialWatch
    from a2c.sweeps.trials_csv import write_trials

    study = open_study(sweep, folder)
    agree_on_seeds(study, command.seeds)
    plan = Plan(sweep, folder.absolute(), trials, command.seeds, command.jobs, command.seed, command.hours)
    wanted = None if trials == MOST_TRIALS else trials  # only the hours end it
    with SweepScreen(TrialWatch(study, plan), sweep, wanted, hours=command.hours) as screen:
        outcome = search(study, plan, screen.tell)
    failed, stopped = outcome.failed, outcome.signal
    if stopped is None and outcome.ending.late:
        _tell(f"the {command.hours:g} hours are over{_left(len(unfinished(study)))}; the same command goes on")
    confirmed = None
    if stopped is None and command.confirm:
        confirmed = confirm(study, plan, command.confirm, _tell)
        if confirmed is None:
            _tell("nothing to confirm: no trial has a score")
        else:
            failed, stopped = [*failed, *confirmed.failed], confirmed.ending.signal
    write_trials(study, sweep, folder)
    preset = write_best(study, sweep, folder)
    print("\n".join(summary_of(study, sweep, preset)))
    if confirmed is not None:
        print("\n".join(lines_of(confirmed)))
    print(write_report(study, sweep, folder, preset))
    if stopped is not None:
        return exit_code_of_stop(stopped)
    return next(iter(failed), 0)


def _tell(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads on: the sweep goes on all the same
        print(line, flush=True)


def _left(count: int) -> str:
    return f", {count} trial{'s' if count > 1 else ''} saved on the way" if count else ""


def _trials(command: SweepCommand, sweep: Sweep) -> int:
    if sweep.method == "grid":
        size = 1
        for parameter in sweep.parameters.values():
            size *= len(parameter.choices)
        return min(size, command.trials or sweep.cap or size)
    trials = command.trials or sweep.cap
    if trials is None and command.hours is None:
        raise ConfigError(f"method={sweep.method} never ends: add trials=N, hours=N, or run_cap to {command.file}")
    return trials or MOST_TRIALS


def _check_values(sweep: Sweep, seeds: int, untrusted: Path | None) -> None:
    """Refuse a value that is not valid before anything runs; each is tried beside the first ones of the others.

    A file that is ``untrusted`` may import no module.
    """
    if seeds > 1 and "seed" in sweep.parameters:
        raise ConfigError("seed is among the parameters; leave out seeds=, or take it out there")
    outermost = {name: ends(parameter) for name, parameter in sweep.parameters.items()}
    first = {name: values[0] for name, values in outermost.items()}
    for name, values in outermost.items():
        for value in values:
            settings = {**first, name: value}
            cfg = load_config(*sweep.overrides, *(f"{key}={text}" for key, text in settings.items()))
            if untrusted is not None:
                ask_for_trust(code_of(cfg), str(untrusted), f"trust the file ({FLAG})")
            check_settings(cfg)
            if sweep.metric == SCORE and cfg.eval.episodes == 0:
                raise ConfigError(f"metric {SCORE} needs evaluations, and eval.episodes=0 makes none")


def _claim(folder: Path, path: Path, sweep: Sweep) -> None:
    """Make the folder, or see that it is of this sweep."""
    saved = folder / SAVED
    try:
        if not saved.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with choosing(folder):  # another terminal may have begun another sweep there in this moment
                if not saved.exists():
                    write_text(saved, path.read_text(encoding="utf-8"))
        if read_sweep(saved, sweep.name) != sweep:
            raise ConfigError(f"{folder} belongs to another sweep (its {SAVED} differs); choose another folder=")
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(folder: Path, error: OSError) -> RunIOError:
    return RunIOError(f"cannot write {error.filename or folder}: {error.strerror or error}")
