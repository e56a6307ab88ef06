"""The search itself: Optuna proposes values and learns of scores, and a journal on disk keeps both."""

from __future__ import annotations

import itertools
from pathlib import Path

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from a2c.sweeps.sweep_file import Parameter, Sweep

JOURNAL = "journal.log"

optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(sweep: Sweep, folder: Path) -> optuna.Study:
    """The study in a folder, begun or gone on with; a grid's combinations wait in it, each once."""
    halving = sweep.halving
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if halving is not None:
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=halving.first, reduction_factor=halving.eta)
    study = optuna.create_study(
        study_name=sweep.name,
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        direction="maximize" if sweep.maximize else "minimize",
        pruner=pruner,
        load_if_exists=True,
    )
    if sweep.method == "grid":
        for values in itertools.product(*(parameter.choices for parameter in sweep.parameters.values())):
            study.enqueue_trial(dict(zip(sweep.parameters, values, strict=True)), skip_if_exists=True)
    return study


def ask(study: optuna.Study, sweep: Sweep, seed: int) -> Trial:
    """The next trial, its values chosen.

    What it proposes is a function of the seed, its number and the trials before it, so that a sweep that was stopped
    goes on as if it had not been.
    """
    study.sampler = _sampler(sweep, seed + len(study.get_trials(deepcopy=False)))
    return _with_values(study.ask(), sweep)


def unfinished(study: optuna.Study, sweep: Sweep, seed: int) -> list[Trial]:
    """Trials that were begun and have no result, with what values they lack: a session may be killed while it asks."""
    trials = []
    for known in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.sampler = _sampler(sweep, seed + known.number)
        trials.append(_with_values(Trial(study, known._trial_id), sweep))
    return trials


def typed(trial: Trial | FrozenTrial) -> dict[str, str]:
    """The values of a trial, as one types them: four digits say as much as a search can know."""
    return {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in trial.params.items()}


def begun(study: optuna.Study) -> int:
    """How many trials have been begun."""
    return sum(trial.state is not TrialState.WAITING for trial in study.get_trials(deepcopy=False))


def best(study: optuna.Study) -> FrozenTrial | None:
    """The best trial that was trained to its end; None: there is none yet."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return study.best_trial if done else None


def _sampler(sweep: Sweep, seed: int) -> BaseSampler:
    return TPESampler(seed=seed) if sweep.method == "bayes" else RandomSampler(seed=seed)


def _with_values(trial: Trial, sweep: Sweep) -> Trial:
    for name, parameter in sweep.parameters.items():
        _suggest(trial, name, parameter)
    return trial


def _suggest(trial: Trial, name: str, parameter: Parameter) -> None:
    if parameter.choices:
        trial.suggest_categorical(name, parameter.choices)
    elif parameter.whole:
        trial.suggest_int(name, int(parameter.low), int(parameter.high))
    else:
        trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log, step=parameter.step)
