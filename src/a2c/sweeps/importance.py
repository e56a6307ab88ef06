"""How much each setting decided in a sweep."""

from __future__ import annotations

import warnings

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from a2c.sweeps.sweep_file import Sweep

FEWEST = 20  # trials that are done: with ten, chance puts a useless setting first
GOOD = 0.5  # share of the trials that count as good: the best tenth of thirty is three, and chance


def importances(study: optuna.Study, sweep: Sweep) -> dict[str, float] | None:
    """The share of each setting in what makes a trial good, the largest first; together 1.

    PED-ANOVA: how much the values of good trials are spread otherwise than those of all trials, for each setting
    by itself. Good is the better half. It needs no scikit-learn, as Optuna's fANOVA does.

    Args:
        study: with the trials that are done; those that ended early or failed do not count.
        sweep: whose settings these are; one that has a single value is left out.

    Returns:
        None: fewer than twenty trials are done, or no setting varies.

    Source: Watanabe et al. 2023, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces".
    """
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    names = [name for name, parameter in sweep.parameters.items() if len(parameter.choices) != 1]
    if len(done) < FEWEST or not names:
        return None
    evaluator = PedAnovaImportanceEvaluator(target_quantile=GOOD)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        found = get_param_importances(study, evaluator=evaluator, params=names)
    return dict(sorted(found.items(), key=lambda item: -item[1]))
