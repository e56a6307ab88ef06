"""Stale gradients: how stale, how far turned, at what cost."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from a2c.settings.compose import load_config
from a2c.settings.config import Config
from a2c.study.batches import trained
from a2c.study.claim import Verdict
from a2c.study.claims import lag
from a2c.study.settings import StudySettings
from a2c.study.stale import chance_workers, delayed


def settings(*overrides: str) -> Config:
    return load_config("env=cartpole_study", "num_envs=1", "vectorization=sync", "device=cpu", *overrides)


def test_a_worker_alone_has_no_lag_and_the_gradient_of_now():
    pushes = list(chance_workers(settings(), 1, 12))
    assert [push.lag for push in pushes] == [0] * 12
    assert [push.cosine for push in pushes] == pytest.approx([1.0] * 12, abs=1e-6)


def test_workers_that_take_turns_by_chance_lag_by_one_less_than_their_number():
    # Between two turns of one of W workers lie on average W - 1 turns of others, geometrically distributed.
    pushes = list(chance_workers(settings("total_steps=4000"), 4, 500))
    lags = np.array([push.lag for push in pushes])
    error = np.sqrt(4 * 3 / 500)  # standard deviation of a geometric number with p = 1/4, over the root of the pushes
    assert abs(lags.mean() - 3) < 4 * error
    fresh = [push.cosine for push in pushes if push.lag == 0]
    assert len(fresh) > 60
    assert min(fresh) > 1 - 1e-5  # the very gradient
    assert np.mean([push.cosine for push in pushes if push.lag > 3]) < np.mean(fresh)


def test_without_delay_it_is_ordinary_training_and_with_delay_it_is_not():
    cfg = settings("num_envs=2", "total_steps=160")
    expected = torch.cat([weight.flatten() for weight in trained(cfg).parameters()])
    for delay, same in ((0, True), (3, False)):
        learner = delayed(cfg, delay)
        assert torch.equal(torch.cat([one.flatten() for one in learner.model.parameters()]), expected) is same


def test_the_first_updates_of_a_delayed_run_start_from_the_same_weights():
    # With a delay longer than the run, all gradients are taken at the initial weights: the actions stay those of the
    # first policy, and a longer delay changes nothing more.
    cfg = settings("num_envs=2", "total_steps=96")
    long, longer = (delayed(cfg, delay).weights for delay in (50, 500))
    assert torch.equal(long, longer)


def team(*means: float) -> list[dict[str, Any]]:
    return [{"mean": mean, "pushes": [9, 1]} for mean in means]


def seed(**cosines: list[float]) -> dict[str, Any]:
    """The cosines of a seed by lag: ``_3=[0.9, 0.8]``."""
    pairs = [(int(lag[1:]), cosine) for lag, values in cosines.items() for cosine in values]
    return {"lags": [lag for lag, _ in pairs], "cosines": [cosine for _, cosine in pairs]}


#: Three stretches and two seeds: 8 workers lag by 5, which turns gradients, and a delay of 4 costs.
FOUND: dict[str, Any] = {
    "workers": [1, 8],
    "real": {"1": team(0.0, 0.0, 0.0), "8": team(5.0, 5.2, 4.8)},
    "cosines": [seed(_0=[1.0], _4=[0.8, 0.7], _40=[0.5]), seed(_0=[1.0], _5=[0.76], _33=[0.6, 0.4])],
    "delays": [0, 4, 64],
    "scores": [[400.0, 410.0, 390.0], [100.0, 105.0, 95.0], [20.0, 25.0, 15.0]],
}


def test_lags_are_averaged_and_binned_as_by_hand():
    assert lag.mean_lags(FOUND, 8) == [5.0, 5.2, 4.8]
    bins = lag.binned(FOUND)
    assert {edge: pushes for edge, (_, pushes) in bins.items()} == {0: 2, 4: 3, 32: 3}
    assert bins[4][0].value == pytest.approx((0.75 + 0.76) / 2)  # of the means of the seeds
    assert bins[32][0].value == pytest.approx((0.5 + 0.5) / 2)


def test_a_bin_that_one_seed_has_not_reached_is_left_out():
    assert list(lag.binned({"cosines": [seed(_0=[1.0], _70=[0.1]), seed(_0=[1.0])]})) == [0]


def test_it_is_judged_at_the_lag_that_real_workers_have():
    team_lag, edge, delay = lag.usual(FOUND)
    assert (round(team_lag.value, 6), edge, delay) == (5.0, 4, 4)


def test_all_three_together_support_the_claim():
    assert lag.judge(FOUND).verdict is Verdict.SUPPORTED


FRESH = [seed(_0=[1.0], _4=[0.99], _40=[0.5]), seed(_0=[1.0], _5=[0.98], _33=[0.5])]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        # At 64 updates it would cost, but nobody is that late.
        ({"scores": [FOUND["scores"][0], [398.0, 412.0, 391.0], FOUND["scores"][2]]}, Verdict.CONDITIONAL),
        ({"cosines": FRESH}, Verdict.CONDITIONAL),
        ({"real": {"1": team(0.0, 0.0, 0.0), "8": team(0.0, 0.0, 0.0)}}, Verdict.NOT_SUPPORTED),
        ({"real": {"1": team(0.0, 0.1, 0.0), "8": team(5.0, 5.2, 4.8)}}, Verdict.NOT_SUPPORTED),
        ({"real": {"1": team(0.0, 0.0, 0.0), "8": team(0.0, 9.0, 1.0)}}, Verdict.NOT_SUPPORTED),
    ],
    ids=["it costs nothing", "it turns nothing", "nobody lags", "one worker lags", "undecided"],
)
def test_what_is_missing_weakens_the_verdict(changes: dict[str, Any], verdict: Verdict):
    assert lag.judge({**copy.deepcopy(FOUND), **changes}).verdict is verdict


@pytest.mark.long
@pytest.mark.slow
def test_it_measures_judges_and_draws():
    data = lag.measure(StudySettings(claims=[], seeds=2, scale=0.02, seed=3, jobs=1, folder="unused"))
    assert lag.mean_lags(data, 1) == [0.0, 0.0]
    assert max(lag.mean_lags(data, 8)) > 0
    assert np.shape(data["scores"]) == (len(lag.DELAYS), 2)
    assert lag.judge(data).numbers
    assert isinstance(lag.draw(data), Figure)
