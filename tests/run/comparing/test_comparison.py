"""The figures of a comparison, by hand and by SciPy."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from a2c.run.comparing.comparison import Compared, compare, remarks
from a2c.run.comparing.comparison_data import as_csv, as_json
from a2c.run.comparing.comparison_text import as_text
from a2c.run.comparing.past_run import read_run
from a2c.run.comparing.run_groups import grouped
from a2c.run.comparing.score_curves import ScoreCurve, median_reached, metric_of, reached, together
from a2c.run.statistics import bootstrap_interval, percentile_interval, probability_of_improvement
from past_runs import past_run


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def comparison(*folders: Path, aim: float | None = None) -> list[Compared]:
    return compare([read_run(folder) for folder in folders], aim)


# The probability of improvement.


def test_the_probability_of_improvement_counts_pairs_and_half_of_the_ties():
    # 3 > 1, 3 > 2; 2 > 1, 2 = 2: of 4 pairs 3 are won and one is tied
    assert probability_of_improvement([3, 2], [1, 2]) == 3.5 / 4
    assert probability_of_improvement([1, 2], [3, 2]) == 0.5 / 4
    assert probability_of_improvement([5], [1, 2, 9]) == 2 / 3
    assert probability_of_improvement([7, 7, 7], [7, 7]) == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_statistic_of_mann_and_whitney_whatever_the_ties(seed: int):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 6, 7), rng.integers(1, 7, 5)
    naive = np.mean([(a > b) + 0.5 * (a == b) for a in x for b in y])
    assert probability_of_improvement(x, y) == pytest.approx(naive, abs=1e-15)
    assert probability_of_improvement(x, y) == pytest.approx(stats.mannwhitneyu(x, y).statistic / 35, abs=1e-15)


def test_many_resamples_at_once_give_what_each_gives_alone():
    rng = np.random.default_rng(1)
    x, y = rng.normal(0.3, 1, (4, 6)), rng.normal(0, 1, (4, 3))
    alone = [probability_of_improvement(a, b) for a, b in zip(x, y, strict=True)]
    assert probability_of_improvement(x, y, axis=-1).tolist() == alone
    assert probability_of_improvement(x.T, y.T, axis=0).tolist() == alone


def test_the_interval_redraws_both_groups():
    # Each resample of [0, 2] against [1]: both 0, both 2 (a quarter each), or one of each: P = 0, 1, 1/2.
    low, high = percentile_interval(
        [np.array([0.0, 2.0]), np.array([1.0])], probability_of_improvement, confidence=0.9, resamples=2000, seed=0
    )
    assert (low, high) == (0.0, 1.0)
    low, high = percentile_interval(
        [np.array([0.0, 2.0]), np.array([1.0])], probability_of_improvement, confidence=0.4, resamples=2000, seed=0
    )
    assert (low, high) == (0.5, 0.5)


def test_no_scores_cannot_be_compared():
    with pytest.raises(ValueError, match="no scores"):
        probability_of_improvement([], [1.0])


# Groups.


def test_runs_that_differ_in_their_seed_and_their_records_are_one_group():
    one = past_run("one", "seed=1", "name=a", "wandb.tags=[x]", "log_every=10")
    other = past_run("other", "seed=2", "name=b", "checkpoint.keep=1", "gif=false")
    (group,) = grouped([read_run(one), read_run(other)])
    assert (group.settings, group.label, len(group.runs)) == ({}, "", 2)


def test_what_differs_names_the_groups_in_the_order_of_the_settings():
    texts = [
        ("seed=1", "network.hidden_sizes=[8]"),
        ("seed=1", "lr=0.5"),
        ("seed=2", "lr=0.5"),
        ("seed=1", "gamma=0.9"),
    ]
    groups = grouped([read_run(past_run(f"r{place}", *text)) for place, text in enumerate(texts)])
    usual = {"gamma": groups[0].settings["gamma"], "lr": groups[0].settings["lr"], "network.hidden_sizes": "[128, 128]"}
    assert [group.settings for group in groups] == [
        {**usual, "network.hidden_sizes": "[8]"},
        {**usual, "lr": "0.5"},
        {**usual, "gamma": "0.9"},
    ]
    assert [len(group.runs) for group in groups] == [1, 2, 1]
    assert groups[1].label == f"gamma={usual['gamma']}, lr=0.5, network.hidden_sizes=[128, 128]"


def test_environments_are_compared_each_within_itself():
    # The presets of CartPole and Pendulum differ in a dozen settings: only lr does within one of them.
    cart = [past_run(f"c{lr}", f"lr={lr}") for lr in (0.1, 0.2)]
    pole = [past_run("p", env="env=pendulum")]
    groups = grouped([read_run(folder) for folder in [cart[0], *pole, cart[1]]])
    assert [(group.env_id, list(group.settings)) for group in groups] == [
        ("CartPole-v1", ["lr"]),
        ("CartPole-v1", ["lr"]),
        ("Pendulum-v1", ["lr"]),
    ]
    assert [group.label for group in groups] == ["lr=0.1", "lr=0.2", ""]


def test_arguments_of_the_environment_are_settings_too_but_secrets_are_not_shown():
    one = past_run("one", "env.kwargs.size=5", "env.kwargs.api_key=hidden1")
    other = past_run("other", "env.kwargs.size=6", "env.kwargs.api_key=hidden2")
    bare = past_run("bare")
    groups = grouped([read_run(folder) for folder in (one, other, bare)])
    assert [group.settings["env.kwargs.size"] for group in groups] == ["5", "6", ""]
    assert "hidden" not in str([group.settings for group in groups])


# Scores.


def test_figures_are_those_of_hand_and_of_scipy():
    scores = [1.0, 5.0, 2.0, 9.0, 100.0]
    base = [past_run(f"b{seed}", f"seed={seed}", "lr=0.1", final=score) for seed, score in enumerate(scores)]
    more = [past_run(f"m{seed}", f"seed={seed}", "lr=0.2", final=score) for seed, score in enumerate([5.0, 11.0, 7.0])]
    first, second = comparison(*base, *more)
    assert first.score is not None
    assert second.score is not None
    assert first.score.value == (2 + 5 + 9) / 3  # of five, one is cut at either end
    assert second.score.value == (5 + 11 + 7) / 3  # of three, none
    assert (first.score.low, first.score.high) == bootstrap_interval([1.0, 5.0, 2.0, 9.0, 100.0])
    assert first.better is None
    # 5 beats 1, 2 and ties 5: 2.5; 11 beats 1, 5, 2, 9: 4; 7 beats 1, 5, 2: 3. Of 15 pairs:
    assert second.better is not None
    assert second.better.value == pytest.approx((2.5 + 4 + 3) / 15)
    rng = np.random.default_rng(5)
    redrawn = rng.choice([5.0, 11.0, 7.0], (20_000, 3)), rng.choice(scores, (20_000, 5))
    ours, theirs = redrawn[0][:, :, None], redrawn[1][:, None, :]
    naive = ((ours > theirs) + 0.5 * (ours == theirs)).mean((1, 2))
    assert (second.better.low, second.better.high) == pytest.approx(np.quantile(naive, [0.025, 0.975]), abs=0.04)


def test_one_run_has_no_interval():
    one, other = comparison(past_run("a", "lr=0.1", final=3.0), past_run("b", "lr=0.2", final=4.0))
    assert (one.score.value, one.score.low, other.better.value, other.better.low) == (3.0, None, 1.0, None)


def test_each_environment_has_a_first_group_of_its_own():
    folders = [
        past_run("c1", "lr=0.1", final=400.0),
        past_run("c2", "lr=0.2", final=500.0),
        past_run("p1", "lr=0.1", env="env=pendulum", final=-500.0),
        past_run("p2", "lr=0.2", env="env=pendulum", final=-700.0),
    ]
    assert [each.better and each.better.value for each in comparison(*folders)] == [None, 1.0, None, 0.0]


def test_runs_that_are_not_finished_do_not_count_where_others_are():
    done = past_run("done", "seed=1", scores=[1, 2], final=2.0)
    cut = past_run("cut", "seed=2", "total_steps=200", scores=[40, 60], every=50, stopped="SIGTERM")
    (both,) = comparison(done, cut)
    assert both.scores == [2.0]
    assert both.band is not None
    assert both.band.middle.tolist() == [1.0, 2.0]
    assert remarks([both]) == ["runs/cut does not count: stopped after 100 of 200 steps"]
    (alone,) = comparison(cut)
    assert alone.score is None
    assert alone.band is not None
    assert alone.band.middle.tolist() == [40.0, 60.0]
    assert remarks([alone]) == ["runs/cut counts as far as it got: stopped after 100 of 200 steps"]


def test_the_same_seed_twice_is_said():
    (group,) = comparison(past_run("a", "seed=4", final=1.0), past_run("b", "seed=4", final=1.0))
    assert remarks([group]) == ["CartPole-v1: seed 4 counts 2 times, as if it were 2"]


# How soon.


def curve(*points: tuple[float, float, float]) -> ScoreCurve:
    return ScoreCurve(*np.array(points, dtype=np.float64).reshape(-1, 3).T)


def test_a_score_is_reached_with_the_first_evaluation_that_has_it():
    run = curve((100, 1.0, 7.0), (200, 5.0, 8.0), (300, 4.0, 9.0), (400, 6.0, 10.0))
    assert (reached(run, 5.0).steps, reached(run, 5.0).seconds) == (200, 8.0)
    assert reached(run, 5.5).steps == 400
    assert reached(run, 7.0) is None
    assert reached(curve(), 0.0) is None


def test_a_run_that_never_got_there_is_the_slowest():
    soon, late = reached(curve((100, 1.0, 3.0)), 1.0), reached(curve((300, 1.0, 9.0)), 1.0)
    assert median_reached([late, None, soon]).steps == 300  # of 100, 300, never
    assert median_reached([late, None, soon]).seconds == 9.0
    assert median_reached([soon, late]).steps == 200
    assert median_reached([soon, None]) is None  # between 100 and never
    assert median_reached([None, None, soon]) is None


def test_the_threshold_of_the_environment_is_the_aim_unless_another_is_given():
    runs = [
        past_run("a", "seed=1", scores=[1, 6, 9], final=9.0, threshold=5.0),
        past_run("b", "seed=2", scores=[5, 5, 5], seconds=2.0, final=5.0, threshold=5.0),
    ]
    (each,) = comparison(*runs)
    assert (each.aim, [run.steps for run in each.reach], each.median.steps) == (5.0, [200, 100], 150)
    assert each.median.seconds == (2.0 + 2.0) / 2
    (other,) = comparison(*runs, aim=7.0)
    assert (other.aim, [run and run.steps for run in other.reach], other.median) == (7.0, [300, None], None)
    (none,) = comparison(past_run("c", scores=[1, 2], final=2.0))
    assert (none.aim, none.reach) == (None, [])


def test_runs_without_evaluations_are_compared_by_the_returns_of_training():
    evaluated, not_evaluated = [{"eval/mean_reward": 1.0, "global_step": step} for step in (1, 2)], [{"global_step": 1}]
    assert metric_of([evaluated, evaluated]) == "eval/mean_reward"
    assert metric_of([evaluated, evaluated[:1]]) == "rollout/ep_rew_mean"  # one evaluation, at the end, is no curve
    assert metric_of([evaluated, not_evaluated]) == "rollout/ep_rew_mean"
    rows = [{"global_step": step, "rollout/ep_rew_mean": step / 100} for step in (100, 200)]
    (each,) = comparison(past_run("a", "eval.every=0", rows=rows, final=2.0), aim=2.0)
    assert (each.metric, each.reach[0].steps) == ("rollout/ep_rew_mean", 200)
    assert math.isnan(each.reach[0].seconds)  # a run of an earlier version does not say


# Curves.


def test_curves_are_held_against_each_other_where_all_runs_have_a_score():
    one, other = curve((100, 1, 0), (200, 2, 0), (300, 3, 0)), curve((150, 10, 0), (250, 20, 0))
    steps, scores = together([one, other])
    assert steps.tolist() == [150, 200, 250]
    assert scores.tolist() == [[1, 2, 2], [10, 10, 20]]
    apart, none = together([curve((1, 1, 0)), curve((2, 2, 0))])
    assert (apart.size, none.size) == (0, 0)


def test_a_long_curve_keeps_its_ends():
    steps, scores = together([curve(*((step, step, 0) for step in range(1, 5001)))])
    assert (len(steps), steps[0], steps[-1], scores[0, -1]) == (200, 1, 5000, 5000)


# What is written.


def two_groups() -> list[Compared]:
    runs = []
    for lr in (0.1, 0.7):
        for seed in (1, 2, 3):
            scores = [100 * lr, 60 + seed]
            settings = (f"seed={seed}", f"lr={lr}")
            runs.append(past_run(f"{lr}-{seed}", *settings, scores=scores, final=60.0 + seed, threshold=50.0))
    return comparison(*runs)


def test_the_table_says_it_in_a_line_for_each_group():
    lines = as_text(two_groups()).splitlines()
    assert lines[0] == "CartPole-v1"
    cells = [[cell for cell in line.split("  ") if cell] for line in lines]
    cells = [[cell.strip() for cell in line] for line in cells]
    assert cells[2] == ["lr", "runs", "score", "95 % interval", "better", "95 % interval", "reach 50", "steps", "time"]
    assert cells[4] == ["0.1", "3", "62.00", "[61.00, 63.00]", "-", "-", "3 of 3", "200", "2s"]
    assert cells[5] == ["0.7", "3", "62.00", "[61.00, 63.00]", "0.50", "[0.06, 0.94]", "3 of 3", "100", "1s"]
    assert len({len(line) for line in (lines[1], lines[4], lines[5], lines[6])}) == 1


def test_one_group_without_scores_is_a_table_too():
    text = as_text(comparison(past_run("a")))
    assert text.splitlines()[4].split() == ["all", "equal", "1", "-", "-"]
    assert "better" not in text
    assert "reach" not in text


def test_csv_and_json_hold_the_figures_in_full():
    compared = two_groups()
    head, *lines = as_csv(compared).splitlines()
    assert head.startswith("env.id,lr,runs,score_iqm,score_iqm_low,score_iqm_high,probability_of_improvement,")
    assert lines[1].startswith("CartPole-v1,0.7,3,62.0,61.0,63.0,0.5,")
    tree = json.loads(as_json(compared))["groups"]
    assert [each["settings"] for each in tree] == [{"lr": "0.1"}, {"lr": "0.7"}]
    assert tree[1]["figures"]["steps_to_aim"] == 100
    assert [run["seed"] for run in tree[0]["runs"]] == [1, 2, 3]
    assert tree[0]["curve"] == {
        "metric": "eval/mean_reward", "env_steps": [100, 200], "iqm": [10, 62], "low": [10, 61], "high": [10, 63],
    }  # fmt: skip
