"""What a search found is trained again on fresh seeds, beside the settings without it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from a2c.errors import RunIOError
from a2c.sweeps.claims import claim
from a2c.sweeps.parameter import Parameter

optuna = pytest.importorskip("optuna")  # the extra a2c[sweep]

from a2c.sweeps.confirming import Confirmed, confirm, fresh_seeds, lines_of  # noqa: E402
from a2c.sweeps.search import open_study  # noqa: E402
from a2c.sweeps.trial_runs import Plan  # noqa: E402
from trainings import GRID, Trainings, do, made  # noqa: E402


def confirmed(trainings: Trainings, seeds: int, told: list[str] | None = None, **changes: int) -> Confirmed | None:
    trainings.told, trainings.scores = [], score
    lines = [] if told is None else told
    return confirm(open_study(GRID, made()), replace(Plan(GRID, made(), 6, 1, 1, 0), **changes), seeds, lines.append)


def score(told: dict[str, str]) -> float:
    """16 steps score 100 above the seed, those of the preset 10."""
    return float(told["seed"]) + (100 if told.get("n_step") == "16" else 10)


def test_the_best_and_the_settings_without_it_are_trained_on_fresh_seeds(trainings: Trainings):
    do(GRID, 6)
    told: list[str] = []
    found = confirmed(trainings, 3, told)
    assert trainings.told == [
        ["env=cartpole", *values, f"seed={seed}"]
        for seed in (101, 102, 103)
        for values in (["lr=0.1", "n_step=16"], [])
    ]
    assert told[:2] == ["confirm-trial-0002-seed101: 201", "confirm-without-seed101: 111"]
    assert found is not None
    # Of three scores the middle half are all three: the mean. Resamples lie between the least and the greatest.
    lines = lines_of(found)
    assert lines[0] == "interquartile mean over seeds 101 to 103, which no trial used:"
    assert lines[4].split() == ["trial", "2", "3", "of", "3", "202", "201", "..", "203"]
    assert lines[5].split() == ["without", "the", "sweep's", "values", "3", "of", "3", "112", "111", "..", "113"]
    kept = json.loads(Path("runs/sweep/confirmed.json").read_text())
    assert (kept["metric"], kept["goal"], kept["seeds"]) == ("eval/mean_reward", "maximize", [101, 102, 103])
    assert [(group["trial"], group["iqm"], group["scores"]) for group in kept["groups"]] == [
        (2, 202.0, [201.0, 202.0, 203.0]),
        (None, 112.0, [111.0, 112.0, 113.0]),
    ]
    assert kept["groups"][0]["settings"] == ["env=cartpole", "lr=0.1", "n_step=16"]


def test_runs_that_are_finished_are_not_trained_again(trainings: Trainings):
    do(GRID, 6)
    trainings_before = confirmed(trainings, 2)
    assert trainings_before is not None
    found = confirmed(trainings, 3, jobs=2)
    assert {told[-1] for told in trainings.told} == {"seed=103"}
    assert found is not None
    assert found.groups[0].scores == {101: 201.0, 102: 202.0, 103: 203.0}


def test_a_stop_leaves_the_rest_for_the_next_time(trainings: Trainings):
    do(GRID, 6)
    trainings.interrupt = 3
    found = confirmed(trainings, 3)
    assert found is not None
    assert found.ending.signal == "SIGTERM"
    assert [list(group.scores.values()) for group in found.groups] == [[201.0, 202.0, None], [111.0, None, None]]
    assert lines_of(found)[5].split()[-5:] == ["1", "of", "3", "111", "-"]  # one run has no interval
    trainings.interrupt = None
    confirmed(trainings, 3)
    assert len(trainings.told) == 3


def test_a_run_that_fails_is_told_and_the_others_count(trainings: Trainings):
    do(GRID, 6)
    told: list[str] = []
    trainings.codes = {0: 3}
    found = confirmed(trainings, 2, told)
    assert found is not None
    assert found.failed == [3]
    assert told[0] == "confirm-trial-0002-seed101: failed with exit code 3: environment error: boom"
    assert found.groups[0].reached == [202.0]
    assert json.loads(Path("runs/sweep/confirmed.json").read_text())["groups"][0]["scores"] == [None, 202.0]
    trainings.codes = {0: 6}
    with pytest.raises(RunIOError, match="confirm-trial-0002-seed101 cannot be written"):
        confirmed(trainings, 2)


def test_what_another_terminal_confirms_is_left_to_it(trainings: Trainings, monkeypatch: pytest.MonkeyPatch):
    do(GRID, 6)
    other = claim(made(), "confirm-trial-0002-seed101")
    assert other is not None
    monkeypatch.setattr("a2c.sweeps.ending.Ending.wait", lambda ending, seconds: other.close())
    confirmed(trainings, 2)
    assert [" ".join(told[-2:]) for told in trainings.told] == [
        "env=cartpole seed=101", "n_step=16 seed=102", "env=cartpole seed=102", "n_step=16 seed=101",
    ]  # fmt: skip


def test_without_a_score_there_is_nothing_to_confirm(trainings: Trainings):
    trainings.codes = {0: 3}
    do(GRID, 1)
    assert confirmed(trainings, 2) is None


def test_fresh_seeds_are_none_that_a_trial_used(trainings: Trainings):
    trainings.scores = lambda told: 1.0
    seeds = replace(GRID, parameters={"seed": Parameter(("101", "103"))}, name="seeds")
    study, _, _ = do(seeds, 2)
    assert fresh_seeds(study, Plan(seeds, made(), 2, 1, 1, 0), 3) == [102, 104, 105]
    shared = replace(GRID, overrides=("env=cartpole", "seed=102"))
    assert fresh_seeds(open_study(GRID, made()), Plan(shared, made(), 2, 1, 1, 0), 3) == [101, 103, 104]
    assert fresh_seeds(open_study(GRID, made()), Plan(shared, made(), 2, 200, 1, 0), 2) == [201, 202]


def test_where_only_seeds_are_swept_there_is_nothing_to_compare_with(trainings: Trainings):
    trainings.scores = lambda told: float(told["seed"])
    seeds = replace(GRID, parameters={"seed": Parameter(("1", "2"))})
    study, _, _ = do(seeds, 2)
    found = confirm(study, Plan(seeds, made(), 2, 1, 1, 0), 2, print)
    assert found is not None
    assert [(group.settings, group.scores) for group in found.groups] == [(("env=cartpole",), {101: 101.0, 102: 102.0})]


def test_settings_that_make_no_run_without_the_values_are_told(trainings: Trainings):
    never = ("env=cartpole", "stop_at=475", "eval.every=0")  # stop_at needs evaluations
    often = replace(GRID, overrides=never, parameters={"eval.every": Parameter(("1000", "2000"))})
    trainings.scores = lambda told: 1.0
    study, _, _ = do(often, 2)
    told: list[str] = []
    found = confirm(study, Plan(often, made(), 2, 1, 1, 0), 1, told.append)
    assert found is not None
    assert [group.trial for group in found.groups] == [0]
    assert told[0].startswith(
        "nothing to compare with: the settings without the sweep's values make no run (config error"
    )
