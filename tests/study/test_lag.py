"""Stale gradients: how stale, how far turned, at what cost."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from a2c.compose import load_config
from a2c.config import Config
from a2c.study.batches import trained
from a2c.study.claim import Verdict
from a2c.study.claims import lag
from a2c.study.settings import StudySettings
from a2c.study.stale import chance_workers, delayed


def settings(*overrides: str) -> Config:
    return load_config("env=cartpole", "num_envs=1", "vectorization=sync", "device=cpu", *overrides)


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


#: Two seeds, three stretches: real workers lag, gradients turn, the longest delay costs.
FOUND: dict[str, Any] = {
    "workers": [1, 8],
    "histograms": {"1": [[10], [10], [10]], "8": [[2, 0, 0, 8], [1, 0, 0, 9], [0, 1, 0, 9]]},
    "cosines": [
        {"lags": [0, 1, 3, 40], "cosines": [1.0, 0.99, 0.95, 0.5]},
        {"lags": [0, 2, 33, 50], "cosines": [1.0, 0.97, 0.6, 0.4]},
    ],
    "delays": [0, 16],
    "scores": [[400.0, 410.0, 390.0], [100.0, 105.0, 95.0]],
}


def test_lags_are_averaged_and_binned_as_by_hand():
    assert lag.mean_lags([[1, 2, 1], [0, 0, 0, 4]]) == [1.0, 3.0]
    bins = lag.binned(FOUND)
    assert [(one.lag, one.pairs) for one in bins] == [(0, 2), (1, 1), (2, 2), (32, 3)]
    assert bins[2].mean == pytest.approx((0.95 + 0.97) / 2)
    assert bins[3].mean == pytest.approx((0.5 + 0.6 + 0.4) / 3)


def test_all_three_together_support_the_claim():
    assert lag.judge(FOUND).verdict is Verdict.SUPPORTED


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"scores": [[400.0, 410.0, 390.0], [398.0, 412.0, 391.0]]}, Verdict.CONDITIONAL),
        (
            {"cosines": [{"lags": [0, 40], "cosines": [1.0, 0.99]}, {"lags": [0, 40], "cosines": [1.0, 0.98]}]},
            Verdict.CONDITIONAL,
        ),
        ({"histograms": {"1": [[10], [10], [10]], "8": [[10], [10], [10]]}}, Verdict.NOT_SUPPORTED),
        ({"histograms": {"1": [[9, 1], [10], [10]], "8": FOUND["histograms"]["8"]}}, Verdict.NOT_SUPPORTED),
    ],
    ids=["it costs nothing", "it turns nothing", "nobody lags", "one worker lags"],
)
def test_what_is_missing_weakens_the_verdict(changes: dict[str, Any], verdict: Verdict):
    assert lag.judge({**copy.deepcopy(FOUND), **changes}).verdict is verdict


@pytest.mark.slow
def test_it_measures_judges_and_draws():
    data = lag.measure(StudySettings(claims=[], seeds=2, scale=0.02, seed=3, jobs=1, folder="unused"))
    assert all(set(range(1, len(counts))) == set() for counts in data["histograms"]["1"])
    assert max(lag.mean_lags(data["histograms"]["8"])) > 0
    assert np.shape(data["scores"]) == (len(lag.DELAYS), 2)
    assert lag.judge(data).numbers
    assert isinstance(lag.draw(data), Figure)
