"""Sweeps made by hand: studies whose trials have values and scores, without a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from a2c.sweeps.sweep_file import Parameter, Sweep

SETTINGS = {
    "lr": Parameter(low=1e-4, high=1e-1, log=True),
    "num_envs": Parameter(low=4, high=64, whole=True),
    "lr_schedule": Parameter(("constant", "linear")),
    "gamma": Parameter(low=0.9, high=1.0),
}


def made_sweep(parameters: Mapping[str, Parameter] = SETTINGS, *, maximize: bool = True) -> Sweep:
    """A sweep of these settings on CartPole."""
    return Sweep(
        name="made",
        method="random",
        metric="eval/mean_reward",
        maximize=maximize,
        overrides=("env=cartpole", "gif=false"),
        parameters=dict(parameters),
        halving=None,
        cap=None,
    )


def made_trial(sweep: Sweep, values: Mapping[str, Any], score: float | None, **changes: Any) -> FrozenTrial:
    """A trial that is done with this score; None: it failed, unless ``changes`` have another state."""
    state = TrialState.FAIL if score is None else TrialState.COMPLETE
    return create_trial(
        params=dict(values),
        distributions={name: _distribution(sweep.parameters[name]) for name in values},
        value=score,
        **{"state": state, **changes},
    )


def made_study(sweep: Sweep, trials: Sequence[FrozenTrial]) -> optuna.Study:
    """A study with these trials, in memory."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize" if sweep.maximize else "minimize")
    study.add_trials(trials)
    return study


def _distribution(parameter: Parameter) -> BaseDistribution:
    if parameter.choices:
        return CategoricalDistribution(parameter.choices)
    if parameter.whole:
        return IntDistribution(int(parameter.low), int(parameter.high))
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
