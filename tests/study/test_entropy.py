"""The claim on the entropy bonus: its arithmetic, every verdict, and a run of a moment."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from a2c.study.claim import Data, Verdict
from a2c.study.claims import entropy
from a2c.study.measures.gradients import mean_interval

from .stubs import settings

RISING = [0.1, 0.2, 0.3]  # late entropy at each beta
HELPS = [0.0, 1.0, 0.5]  # score at each beta
FLAT = [1.0, 1.0, 1.0]


def made_up(**setups: tuple[list[float], list[float]]) -> Data:
    """Four runs of every beta that differ a little, the same for every beta."""
    noise = np.array([0.0, 0.01, 0.02, 0.03])
    return {
        "betas": [0.0, 0.01, 0.1],
        "setups": {
            name: {
                "steps": [100, 200, 300, 400],
                "entropy": [[[0.7, 0.7, 0.7, late + 0.01 * bit] for bit in noise] for late in lates],
                "score": [list(score + noise) for score in scores],
                "greedy": [list(score + noise) for score in scores],
                "most": 0.7,
            }
            for name, (lates, scores) in setups.items()
        },
    }


@pytest.mark.parametrize(
    ("easy", "hard", "verdict"),
    [
        ((RISING, HELPS), (RISING, HELPS), Verdict.SUPPORTED),
        ((RISING, FLAT), (RISING, HELPS), Verdict.CONDITIONAL),
        ((RISING, FLAT), (RISING, FLAT), Verdict.NOT_SUPPORTED),
        ((RISING, FLAT), (RISING[::-1], HELPS), Verdict.NOT_SUPPORTED),  # never both on one environment
        ((FLAT, HELPS), (FLAT, HELPS), Verdict.NOT_SUPPORTED),
    ],
)
def test_the_verdict_asks_for_entropy_and_score_on_the_same_environment(easy, hard, verdict):
    assert entropy.judge(made_up(easy=easy, hard=hard)).verdict is verdict


def test_a_gain_within_the_noise_is_no_gain():
    data = made_up(hard=(RISING, FLAT))
    data["setups"]["hard"]["score"][1] = [3.0, 0.0, 3.0, 0.0]  # 1.5 on average, against 1
    assert entropy.judge(data).verdict is Verdict.NOT_SUPPORTED


def test_what_a_bonus_costs_is_told():
    why = entropy.judge(made_up(easy=(RISING, [1.0, 1.5, 0.5]))).why
    assert "higher than without a bonus at β = 0.01, and lower at β = 0.1." in why


def test_entropy_counts_from_the_last_quarter_on():
    setup = {"steps": [100, 200, 300, 400], "entropy": [[[9.0, 9.0, 9.0, 2.0]], [[9.0, 9.0, 9.0, 4.0]]]}
    assert entropy.late_entropy(setup).tolist() == [[2.0], [4.0]]  # only step 400 is after step 300


def test_gains_are_of_pairs_and_their_intervals_wide_enough_for_all_comparisons():
    data = made_up(hard=(RISING, HELPS))
    first, second = entropy.gains(data, data["setups"]["hard"])
    assert (first.value, second.value) == pytest.approx((1.0, 0.5))
    assert first.low == pytest.approx(1.0)  # what runs of one seed share drops out
    data["setups"]["hard"]["score"][1] = [0.0, 1.0, 2.0, 3.0]
    (wide, _), plain = entropy.gains(data, data["setups"]["hard"]), mean_interval([0.0, 0.99, 1.98, 2.97])
    assert (wide.low, wide.high) == pytest.approx(
        dataclasses.astuple(mean_interval([0, 0.99, 1.98, 2.97], confidence=0.975))[1:]
    )
    assert wide.low < plain.low


def test_seeds_of_the_study_share_no_run(tmp_path):
    seeds = entropy._seeds(settings(tmp_path, seeds=100, seed=5), 7)
    assert len(set(seeds)) == 700


def test_it_trains_and_can_be_judged_and_drawn(tmp_path, monkeypatch):
    small = {name: dataclasses.replace(setup, steps=600, runs=1) for name, setup in entropy.SETUPS.items()}
    monkeypatch.setattr(entropy, "SETUPS", small)
    monkeypatch.setattr(entropy, "EPISODES", 2)
    monkeypatch.setattr(entropy, "BETAS", [0.0, 1.0])
    data = entropy.measure(settings(tmp_path))
    for setup, actions in ((data["setups"]["CartPole"], 2), (data["setups"]["Dead end"], 4)):
        curves = np.asarray(setup["entropy"])
        assert curves.shape == (2, 2, len(setup["steps"]))
        assert setup["most"] == pytest.approx(np.log(actions))
        assert (curves <= setup["most"] + 1e-6).all()
        assert np.shape(setup["score"]) == np.shape(setup["greedy"]) == (2, 2)
    assert data["setups"]["CartPole"]["entropy"][0] != data["setups"]["CartPole"]["entropy"][1]  # beta is felt
    assert len(entropy.judge(data).numbers) == 2 * 2
    figure = entropy.draw(data)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["CartPole", "Dead end"]
