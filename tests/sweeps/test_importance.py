"""What decided in a sweep: a setting that was planted comes first, one that does nothing last."""

from __future__ import annotations

import math
import random

import pytest

pytest.importorskip("optuna")  # the extra a2c[sweep]

from a2c.sweeps.importance import FEWEST, importances
from a2c.sweeps.sweep_file import Parameter
from made_sweeps import made_study, made_sweep, made_trial

SETTINGS = {
    "useless": Parameter(low=0.0, high=1.0),
    "strong": Parameter(low=1e-4, high=1e-1, log=True),
    "some": Parameter(("low", "middle", "high")),
    "fixed": Parameter(("1",)),
}


def planted(count: int, seed: int, *, maximize: bool = True) -> dict[str, float] | None:
    """Scores that fall by 150 for each decade that ``strong`` is from its best, by 100 where ``some`` is low."""
    rng, sweep = random.Random(seed), made_sweep(SETTINGS, maximize=maximize)
    trials = []
    for _ in range(count):
        strong, some = 10 ** rng.uniform(-4, -1), rng.choice(["low", "middle", "high"])
        score = -150 * abs(math.log10(strong) + 2.5) - 100 * (some == "low") + rng.gauss(0, 10)
        values = {"useless": rng.random(), "strong": strong, "some": some, "fixed": "1"}
        trials.append(made_trial(sweep, values, score if maximize else -score))
    return importances(made_study(sweep, trials), sweep)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("maximize", [True, False])
def test_the_planted_setting_is_first_and_the_useless_one_last(seed: int, maximize: bool):
    found = planted(120, seed, maximize=maximize)
    assert list(found) == ["strong", "some", "useless"]
    assert sum(found.values()) == pytest.approx(1)
    assert found["useless"] < 0.1


def test_few_trials_say_nothing():
    assert planted(FEWEST - 1, 0) is None
    assert planted(FEWEST, 0) is not None


def test_trials_without_a_score_do_not_count():
    sweep = made_sweep({"lr": Parameter(low=0.1, high=1.0)})
    failed = [made_trial(sweep, {"lr": 0.5}, None) for _ in range(FEWEST)]
    assert importances(made_study(sweep, failed), sweep) is None


def test_where_nothing_varies_nothing_decided():
    sweep = made_sweep({"lr": Parameter(("0.1",))})
    assert importances(made_study(sweep, [made_trial(sweep, {"lr": "0.1"}, 1.0)] * FEWEST), sweep) is None
