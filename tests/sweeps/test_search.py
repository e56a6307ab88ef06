"""The search: what is proposed, what is told, what a stop leaves, with trainings that only leave a run folder."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from a2c.errors import ConfigError, RunIOError
from a2c.sweeps.halving import Halving
from a2c.sweeps.parameter import Parameter, Shape
from past_runs import past_run

optuna = pytest.importorskip("optuna")  # the extra a2c[sweep]

from a2c.sweeps.journal import JOURNAL  # noqa: E402
from a2c.sweeps.search import agree_on_seeds, best, open_study, typed  # noqa: E402
from a2c.sweeps.sweep_report import command_of, summary_of, write_report  # noqa: E402
from a2c.sweeps.sweeping import search  # noqa: E402
from a2c.sweeps.trial_runs import Plan  # noqa: E402
from trainings import BAYES, GRID, Trainings, do, made  # noqa: E402


def test_a_grid_trains_every_combination_once(trainings: Trainings):
    study, outcome, _ = do(GRID, 6)
    expected = [["env=cartpole", f"lr={lr}", f"n_step={steps}"] for lr in ("0.1", "0.2") for steps in (5, 8, 16)]
    assert trainings.told == expected
    assert (outcome.failed, outcome.signal) == ([], None)
    assert best(study).value == 16
    do(GRID, 6)
    assert len(trainings.told) == 6  # nothing is left


def test_the_best_is_the_least_where_that_is_the_goal(trainings: Trainings):
    study, _, told = do(replace(GRID, maximize=False), 6)
    assert typed(best(study)) == {"lr": "0.1", "n_step": "5"}
    assert told[-1].endswith("16 (best: 5, trial 0)")


def test_a_sweep_that_was_stopped_proposes_what_it_would_have_proposed(trainings: Trainings, tmp_path, monkeypatch):
    do(BAYES, 14)
    whole = trainings.told
    assert len({text for told in whole for text in told}) > 20
    assert all(1 <= int(told[2].removeprefix("n_step=")) <= 64 for told in whole)
    (tmp_path / "again").mkdir()
    monkeypatch.chdir(tmp_path / "again")
    trainings.told = []
    for trials in (3, 11, 14):
        do(BAYES, trials)
    assert trainings.told == whole


def test_the_score_of_a_trial_is_the_median_over_its_seeds(trainings: Trainings):
    trainings.scores = lambda told: {"1": 0.0, "2": 1000.0, "3": 20.0}[told["seed"]]
    study, _, _ = do(GRID, 1, seeds=3)
    assert best(study).value == 20.0
    assert [told[1] for told in trainings.told] == ["seed=1", "seed=2", "seed=3"]
    assert sorted(path.name for path in Path("runs/sweep").glob("trial-*/")) == [
        f"trial-0000-seed{seed}" for seed in (1, 2, 3)
    ]


def test_all_sessions_train_over_as_many_seeds(trainings: Trainings):
    agree_on_seeds(open_study(GRID, made()), 3)
    agree_on_seeds(open_study(GRID, made()), 3)
    with pytest.raises(ConfigError, match="begun with seeds=3; type that again, or choose another folder="):
        agree_on_seeds(open_study(GRID, made()), 1)


def test_a_search_proposes_from_every_kind_of_distribution(trainings: Trainings):
    kinds = {
        "n_step": Parameter(low=2, high=9, whole=True),
        "lr": Parameter(low=math.exp(-9), high=math.exp(-5), log=True, shape=Shape("log_normal", -7, 1)),
        "optimizer": Parameter(("adam", "rmsprop"), weights=(0.0, 1.0)),
        "gamma": Parameter(low=0.9, high=1.0, step=0.05),
    }
    study, _, _ = do(replace(BAYES, parameters=kinds), 12)
    values = [dict(word.split("=") for word in told[1:]) for told in trainings.told]
    assert {word["optimizer"] for word in values} == {"rmsprop"}
    assert {word["gamma"] for word in values} <= {"0.9", "0.95", "1"}
    assert all(math.exp(-7 - 3.1) <= float(word["lr"]) <= math.exp(-7 + 3.1) for word in values)
    assert len({word["lr"] for word in values}) == 12
    assert [typed(trial) for trial in study.trials] == values
    assert all(0.001 <= trial.params["lr"] <= 0.999 for trial in study.trials)  # the share that Optuna searches


def test_no_trial_begins_once_one_has_reached_the_target(trainings: Trainings):
    _, _, told = do(replace(GRID, target=8.0), 6)
    assert [line.partition(" (")[0].split(": ")[-1] for line in told] == ["5", "8"]
    _, _, told = do(replace(GRID, target=8.0), 6)
    assert told == []
    _, _, told = do(replace(GRID, target=8.0, maximize=False, name="less"), 6)
    assert len(told) == 1  # 5 is less than 8


def test_a_trial_that_fails_is_told_and_the_sweep_goes_on(trainings: Trainings):
    trainings.codes = {1: 3}
    study, outcome, told = do(GRID, 3)
    assert outcome.failed == [3]
    assert told[1] == (
        "trial 1 of 3: lr=0.1 n_step=8: failed with exit code 3: environment error: boom (best: 5, trial 0)"
    )
    assert [trial.state.name for trial in study.trials[:3]] == ["COMPLETE", "FAIL", "COMPLETE"]


def test_a_trial_that_was_stopped_comes_first_the_next_time(trainings: Trainings):
    trainings.interrupt = 1
    study, outcome, told = do(GRID, 3)
    assert (outcome.signal, len(told)) == ("SIGTERM", 1)
    assert [trial.state.name for trial in study.trials[:3]] == ["COMPLETE", "RUNNING", "WAITING"]
    trainings.interrupt = None
    _, outcome, told = do(GRID, 3)
    assert trainings.told[1] == trainings.told[2]
    assert [line.partition(":")[0] for line in told] == ["trial 1 of 3", "trial 2 of 3"]


def test_hours_end_a_session_in_order_and_the_next_goes_on(trainings: Trainings, monkeypatch: pytest.MonkeyPatch):
    trainings.waits = 1
    with monkeypatch.context() as clock:
        clock.setattr("a2c.sweeps.ending.monotonic", lambda: 7200.0 if len(trainings.told) > 1 else 0.0)
        study, outcome, told = do(GRID, 3, hours=2)
        assert outcome.ending.late
    assert (outcome.signal, outcome.failed, len(told)) == (None, [], 1)
    assert [trial.state.name for trial in study.trials[:3]] == ["COMPLETE", "RUNNING", "WAITING"]
    trainings.waits = None
    do(GRID, 3, hours=0)
    assert len(trainings.told) == 2
    _, _, told = do(GRID, 3, hours=1)
    assert [line.partition(":")[0] for line in told] == ["trial 1 of 3", "trial 2 of 3"]


def test_a_trial_that_somebody_else_stops_is_kept_for_a_later_session(trainings: Trainings):
    trainings.codes = {0: 143}
    study, outcome, told = do(GRID, 2)
    assert told[0] == "trial-0000 was stopped from outside; the same command goes on with it"
    assert [trial.state.name for trial in study.trials[:2]] == ["RUNNING", "COMPLETE"]
    assert outcome.failed == []
    _, _, told = do(GRID, 2)
    assert told == ["trial 0 of 2: lr=0.1 n_step=5: 5 (best: 8, trial 1)"]


def test_a_full_disk_ends_the_sweep_and_loses_no_trial(trainings: Trainings):
    trainings.codes = {1: 6}
    with pytest.raises(RunIOError, match=r"trial-0001 cannot be written \(environment error: boom\)"):
        do(GRID, 3)
    _, _, told = do(GRID, 3)
    assert [line.partition(":")[0] for line in told] == ["trial 1 of 3", "trial 2 of 3"]


def test_a_journal_that_cannot_be_written_is_one_line(trainings: Trainings, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    study = open_study(GRID, made())
    monkeypatch.setattr("optuna.storages.journal.JournalFileBackend.append_logs", full)
    with pytest.raises(RunIOError, match=r"cannot write .*runs/sweep: No space left on device"):
        search(study, Plan(GRID, made(), 1, 1, 1, seed=0), print)


def test_a_line_of_the_journal_that_was_cut_short_is_left_out(trainings: Trainings):
    do(GRID, 2)
    with (made() / JOURNAL).open("a") as file:
        file.write('{"op_code":4,"worker')
    _, _, told = do(GRID, 3)
    assert [line.partition(":")[0] for line in told] == ["trial 2 of 3"]


def test_a_journal_of_something_else_is_one_line(trainings: Trainings):
    (made() / JOURNAL).write_text("hello\n{}\n")
    with pytest.raises(ConfigError, match=r"journal\.log is damaged .*; choose another folder="):
        open_study(GRID, made())


def test_a_finished_run_of_a_trial_is_not_trained_again(trainings: Trainings):
    study = open_study(GRID, made())
    study.ask()  # a session that was killed before it told the score
    past_run("sweep/trial-0000", scores=[7.0], final=7.0)
    _, _, told = do(GRID, 1)
    assert trainings.told == []
    assert told == ["trial 0 of 1: lr=0.1 n_step=5: 7 (best: 7, trial 0)"]


def test_a_run_that_stays_behind_ends_early(trainings: Trainings):
    sweep = replace(GRID, halving=Halving((2,), 2))
    curves = {"5": [5, 50], "8": [9, 60], "16": [1, 40]}

    def train(folder: Path, overrides: Sequence[str], stop: Callable[[], int]) -> int:
        steps = overrides[-1].removeprefix("n_step=")
        (folder).mkdir()
        rows = folder / "metrics.jsonl"
        for place, score in enumerate(curves[steps], 1):
            with rows.open("a") as file:
                file.write(json.dumps({"global_step": place, "eval/mean_reward": score}) + "\n")
            if stop():
                return 143
        rows.unlink()
        folder.rmdir()
        past_run(f"sweep/{folder.name}", scores=curves[steps], final=curves[steps][-1])
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("a2c.sweeps.trial_runs.train", train)
        study, _, told = do(sweep, 3)
    # After two evaluations: 60, 50, 40; the threshold is number int(3 / 2) = 1 from the best, 50.
    assert [trial.state.name for trial in study.trials[:3]] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert told[2] == "trial 2 of 3: lr=0.1 n_step=16: ended early (best: 60, trial 1)"


def test_several_trials_at_once_are_each_told_once(trainings: Trainings):
    study, _, told = do(GRID, 6, jobs=3)
    assert sorted(map(tuple, trainings.told)) == sorted(set(map(tuple, trainings.told)))
    assert len(told) == 6
    assert [trial.value for trial in study.trials] == [5, 8, 16, 5, 8, 16]


def test_the_report_names_the_best_and_takes_nothing_for_markup(trainings: Trainings):
    named = {"name": Parameter(("'<b>&'", "plain")), "n_step": Parameter(("5", "8"))}
    sweep = replace(GRID, parameters=named)
    study, _, _ = do(sweep, 3)
    assert command_of(study, sweep) == "a2c train env=cartpole 'name='\"'\"'<b>&'\"'\"'' n_step=8"
    assert [line.split() for line in summary_of(study, sweep)[3:6]] == [
        ["1", "'<b>&'", "8", "8"], ["0", "'<b>&'", "5", "5"], ["2", "plain", "5", "5"],
    ]  # fmt: skip
    page = Path(write_report(study, sweep, Path("runs/sweep"))).read_text()
    assert "&lt;b&gt;&amp;" in page
    assert "<b>&" not in page
    assert page.count("<tr>") == 4
    assert "<svg" in page


def test_a_sweep_without_a_result_has_a_report_too(trainings: Trainings):
    trainings.codes = dict.fromkeys(range(9), 4)
    study, outcome, _ = do(BAYES, 2)
    assert outcome.failed == [4, 4]
    assert command_of(study, BAYES) is None
    assert "failed" in Path(write_report(study, BAYES, Path("runs/sweep"))).read_text()


def test_a_metric_that_no_run_has_is_named(trainings: Trainings):
    _, outcome, told = do(replace(GRID, metric="eval/mean_rewrd"), 1)
    assert told[0].endswith("trial-0000 has no eval/mean_rewrd at its end; did you mean 'eval/mean_reward'?")
    assert outcome.failed == [1]
