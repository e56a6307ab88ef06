"""The search itself: Optuna proposes values and learns of scores, and a journal on disk keeps both."""

from __future__ import annotations

import itertools
from pathlib import Path

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from a2c.errors import ConfigError
from a2c.sweeps.claims import choosing
from a2c.sweeps.journal import JOURNAL, open_journal
from a2c.sweeps.parameter import Parameter, as_typed
from a2c.sweeps.sweep_file import Sweep

_TYPED = "typed"  # a trial's values as one types them: the search draws some as a share of the probability
_SEEDS = "seeds"

optuna.logging.set_verbosity(optuna.logging.WARNING)


def open_study(sweep: Sweep, folder: Path) -> optuna.Study:
    """The study in a folder, begun or gone on with; a grid's combinations wait in it, each once.

    Raises:
        ConfigError: its journal is damaged.
        OSError: it cannot be written.
    """
    with choosing(folder):
        try:
            study = optuna.create_study(
                study_name=sweep.name,
                storage=open_journal(folder),
                direction="maximize" if sweep.maximize else "minimize",
                pruner=optuna.pruners.NopPruner(),  # halving.py decides
                load_if_exists=True,
            )
        except (ValueError, KeyError, TypeError) as error:
            what = f"{folder / JOURNAL} is damaged ({error})"
            raise ConfigError(f"{what}; choose another folder=, or move this one") from error
        if sweep.method == "grid":
            _enqueue_combinations(study, sweep)
    return study


def agree_on_seeds(study: optuna.Study, seeds: int) -> None:
    """Have all sessions train trials over as many seeds, without which their scores would not compare.

    Raises:
        ConfigError: the study was begun with another number.
    """
    begun_with = study.user_attrs.get(_SEEDS)
    if begun_with is None:
        study.set_user_attr(_SEEDS, seeds)
    elif begun_with != seeds:
        raise ConfigError(f"this sweep was begun with seeds={begun_with}; type that again, or choose another folder=")


def ask(study: optuna.Study, sweep: Sweep, seed: int) -> Trial:
    """The next trial, its values chosen.

    What it proposes is a function of the seed, its number and the trials before it, so that a sweep that was stopped
    goes on as if it had not been.
    """
    study.sampler = _sampler(sweep, seed + len(study.get_trials(deepcopy=False)))
    return _with_values(study.ask(), sweep)


def unfinished(study: optuna.Study) -> list[int]:
    """The numbers of trials that were begun and have no result: somebody trains them, or did."""
    return [trial.number for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))]


def reopened(study: optuna.Study, sweep: Sweep, seed: int, number: int) -> Trial:
    """An unfinished trial, with what values it lacks: a session may be killed while it asks."""
    known = study.get_trials(deepcopy=False)[number]
    study.sampler = _sampler(sweep, seed + number)
    return _with_values(Trial(study, known._trial_id), sweep)


def typed(trial: Trial | FrozenTrial) -> dict[str, str]:
    """The values of a trial, as one types them."""
    kept = trial.user_attrs.get(_TYPED)
    if kept is not None:
        return dict(kept)
    return {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in trial.params.items()}


def begun(study: optuna.Study) -> int:
    """How many trials have been begun."""
    return sum(trial.state is not TrialState.WAITING for trial in study.get_trials(deepcopy=False))


def best(study: optuna.Study) -> FrozenTrial | None:
    """The best trial that was trained to its end; None: there is none yet."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return study.best_trial if done else None


def on_target(study: optuna.Study, sweep: Sweep) -> bool:
    """Whether a trial has reached the target of the metric."""
    leader = best(study)
    if sweep.target is None or leader is None or leader.value is None:
        return False
    return leader.value >= sweep.target if sweep.maximize else leader.value <= sweep.target


def histories(study: optuna.Study) -> list[list[float]]:
    """The evaluations of every trial, the oldest first."""
    return [
        [score for _, score in sorted(trial.intermediate_values.items())] for trial in study.get_trials(deepcopy=False)
    ]


def _enqueue_combinations(study: optuna.Study, sweep: Sweep) -> None:
    """Every combination that is not in the study yet; Optuna would look through all of them for each."""
    known = set()
    for trial in study.get_trials(deepcopy=False):
        values = trial.system_attrs.get("fixed_params", trial.params)
        known.add(tuple(values.get(name) for name in sweep.parameters))
    for values in itertools.product(*(parameter.choices for parameter in sweep.parameters.values())):
        if values not in known:
            study.enqueue_trial(dict(zip(sweep.parameters, values, strict=True)))


def _sampler(sweep: Sweep, seed: int) -> BaseSampler:
    return TPESampler(seed=seed) if sweep.method == "bayes" else RandomSampler(seed=seed)


def _with_values(trial: Trial, sweep: Sweep) -> Trial:
    drawn = {name: _suggest(trial, name, parameter) for name, parameter in sweep.parameters.items()}
    values = {name: as_typed(sweep.parameters[name], value) for name, value in drawn.items()}
    if trial.user_attrs.get(_TYPED) != values:
        trial.set_user_attr(_TYPED, values)
    return trial


def _suggest(trial: Trial, name: str, parameter: Parameter) -> str | float:
    drawn: str | float
    if parameter.shares is not None:
        drawn = trial.suggest_float(name, *parameter.shares)
    elif parameter.choices:
        drawn = trial.suggest_categorical(name, parameter.choices)
    elif parameter.whole:
        drawn = trial.suggest_int(name, int(parameter.low), int(parameter.high))
    else:
        drawn = trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)
    return drawn
