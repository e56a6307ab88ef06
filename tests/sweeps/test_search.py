"""The search: what is proposed, what is told, what a stop leaves, with trainings that only leave a run folder."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from a2c import cli
from a2c.storage.metrics_file import read_rows
from a2c.storage.run_lock import locked
from a2c.sweeps.sweep_file import Halving, Parameter, Sweep
from builders import LIGHT
from past_runs import past_run

optuna = pytest.importorskip("optuna")  # the extra a2c[sweep]

from a2c.sweeps.search import best, open_study, typed  # noqa: E402
from a2c.sweeps.sweep_report import command_of, summary_of, write_report  # noqa: E402
from a2c.sweeps.sweeping import Outcome, search  # noqa: E402
from a2c.sweeps.trial_runs import Plan  # noqa: E402

GRID = Sweep(
    name="grid",
    method="grid",
    metric="eval/mean_reward",
    maximize=True,
    overrides=("env=cartpole",),
    parameters={"lr": Parameter(("0.1", "0.2")), "n_step": Parameter(("5", "8", "16"))},
    halving=None,
    cap=None,
)
BAYES = Sweep(
    name="bayes",
    method="bayes",
    metric="eval/mean_reward",
    maximize=True,
    overrides=("env=cartpole",),
    parameters={"lr": Parameter(low=1e-4, high=1e-1, log=True), "n_step": Parameter(low=1, high=64, whole=True)},
    halving=None,
    cap=None,
)


class Trainings:
    """Stands in for ``train``: notes what it is told, and leaves a run whose score follows from its settings."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.codes: dict[int, int] = {}  # of the i-th training
        self.scores: Callable[[dict[str, str]], float] = lambda told: float(told["n_step"])
        self.interrupt: int | None = None  # the training during which a signal arrives

    def train(self, folder: Path, overrides: Sequence[str], stop: Callable[[], bool]) -> int:
        count = len(self.told)
        self.told.append(list(overrides))
        settings = dict(text.split("=", 1) for text in overrides)
        if self.interrupt == count:
            os.kill(os.getpid(), signal.SIGTERM)
            while not stop():
                time.sleep(0.01)
            return 143
        code = self.codes.get(count, 0)
        folder.with_suffix(".log").write_text("began\nenvironment error: boom\n")
        if code == 0:
            name = str(folder.relative_to(Path("runs").resolve()))
            past_run(name, scores=[1.0], final=self.scores(settings))
        return code


@pytest.fixture
def trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainings]:
    monkeypatch.chdir(tmp_path)
    made = Trainings()
    monkeypatch.setattr("a2c.sweeps.trial_runs.train", made.train)
    return made


def do(sweep: Sweep, trials: int, *, seeds: int = 1, jobs: int = 1) -> tuple[optuna.Study, Outcome, list[str]]:
    folder = Path("runs/sweep").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    study, told = open_study(sweep, folder), []
    outcome = search(study, Plan(sweep, folder, trials, seeds, jobs, seed=0), told.append)
    return study, outcome, told


def test_a_grid_trains_every_combination_once(trainings: Trainings):
    study, outcome, _ = do(GRID, 6)
    expected = [["env=cartpole", f"lr={lr}", f"n_step={steps}"] for lr in ("0.1", "0.2") for steps in (5, 8, 16)]
    assert trainings.told == expected
    assert (outcome.failed, outcome.signal) == ([], None)
    assert best(study).value == 16
    do(GRID, 6)
    assert len(trainings.told) == 6  # nothing is left


def test_the_best_is_the_least_where_that_is_the_goal(trainings: Trainings):
    study, _, told = do(Sweep(**{**_fields(GRID), "maximize": False}), 6)
    assert typed(best(study)) == {"lr": "0.1", "n_step": "5"}
    assert told[-1].endswith("16 (best: 5, trial 0)")


def _fields(sweep: Sweep) -> dict[str, object]:
    return {name: getattr(sweep, name) for name in sweep.__dataclass_fields__}


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


def test_the_score_of_a_trial_is_the_interquartile_mean_over_its_seeds(trainings: Trainings):
    trainings.scores = lambda told: {"1": 0.0, "2": 10.0, "3": 20.0, "4": 1000.0}[told["seed"]]
    study, _, _ = do(GRID, 1, seeds=4)
    assert best(study).value == 15.0
    assert [told[1] for told in trainings.told] == ["seed=1", "seed=2", "seed=3", "seed=4"]
    assert sorted(path.name for path in Path("runs/sweep").glob("trial-*/")) == [
        f"trial-0000-seed{seed}" for seed in (1, 2, 3, 4)
    ]


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


def test_a_finished_run_of_a_trial_is_not_trained_again(trainings: Trainings):
    study = open_study(GRID, _made())
    study.ask()  # a session that was killed before it told the score
    past_run("sweep/trial-0000", scores=[7.0], final=7.0)
    _, _, told = do(GRID, 1)
    assert trainings.told == []
    assert told == ["trial 0 of 1: lr=0.1 n_step=5: 7 (best: 7, trial 0)"]


def test_a_trial_of_another_process_is_left_to_it(trainings: Trainings):
    study = open_study(GRID, _made())
    trial = study.ask()
    for name, parameter in GRID.parameters.items():
        trial.suggest_categorical(name, parameter.choices)
    with locked(past_run("sweep/trial-0000", scores=[7.0]), pytest.fail):
        do(GRID, 2)
    assert trainings.told == [["env=cartpole", "lr=0.1", "n_step=8"]]


def _made() -> Path:
    folder = Path("runs/sweep").absolute()
    folder.mkdir(parents=True)
    return folder


def test_a_run_that_stays_behind_ends_early(trainings: Trainings):
    sweep = Sweep(**{**_fields(GRID), "halving": Halving(2, 2)})
    curves = {"5": [5, 50], "8": [9, 10], "16": [1, 90]}

    def train(folder: Path, overrides: Sequence[str], stop: Callable[[], bool]) -> int:
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
    # After two evaluations each, 10 is not in the better half of 50 and 10; 90 is.
    assert [trial.state.name for trial in study.trials[:3]] == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert told[1] == "trial 1 of 3: lr=0.1 n_step=8: ended early (best: 50, trial 0)"


def test_several_trials_at_once_are_each_told_once(trainings: Trainings):
    study, _, told = do(GRID, 6, jobs=3)
    assert sorted(map(tuple, trainings.told)) == sorted(set(map(tuple, trainings.told)))
    assert len(told) == 6
    assert [trial.value for trial in study.trials] == [5, 8, 16, 5, 8, 16]


def test_the_report_names_the_best_and_takes_nothing_for_markup(trainings: Trainings):
    named = {"name": Parameter(("'<b>&'", "plain")), "n_step": Parameter(("5", "8"))}
    sweep = Sweep(**{**_fields(GRID), "parameters": named})
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


# The command.

FILE = """\
name: small
method: grid
command: [a2c, train, env=cartpole, total_steps=200, {light}]
parameters:
  seed: {{values: [1, 2]}}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(FILE.format(light=", ".join(LIGHT)))
    return path


def test_a_real_sweep_trains_in_processes_and_goes_on_with_what_was_stopped(file: Path, capsys):
    assert cli.main(["sweep", "small.yaml", "trials=1"]) == 0
    folder = Path("runs/sweeps/small")
    first = read_rows(folder / "trial-0000" / "metrics.jsonl")
    assert first[-1]["global_step"] >= 200
    assert cli.main(["sweep", "small.yaml", "jobs=2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "runs/sweeps/small/report.html"
    assert lines[-2].startswith("a2c train env=cartpole total_steps=200 ")
    assert lines[-3] == "a2c train --config-dir runs/sweeps/small env=best"
    assert read_rows(folder / "trial-0000" / "metrics.jsonl") == first  # it was not trained again
    assert (folder / "trial-0001" / "summary.json").is_file()
    assert "seed   " in (folder / "trial-0001.log").read_text()


def test_a_mistake_ends_in_one_line_and_leaves_nothing(file: Path, capsys, monkeypatch):
    mistakes = {
        "sweep": "config error: file has no value; add file=...",
        "sweep none.yaml": "config error: cannot read none.yaml: No such file",
        "sweep small.yaml seeds=2": "config error: seed is among the parameters",
        "sweep small.yaml trial=2": "config error: unknown key 'trial'; did you mean 'trials'?",
    }
    for line, said in mistakes.items():
        assert cli.main(line.split()) == 2
        assert capsys.readouterr().err.startswith(said)
    text = file.read_text()
    for change, said in {
        ("[1, 2]", "[1, x]"): "config error: seed='x' must be a whole number",
        ("  seed:", "  sed:"): "config error: unknown key 'sed'; did you mean 'seed'?",
        ("env=cartpole", "env.id=mine:My-v0"): "config error: small.yaml imports the module 'mine', which can do",
        ("method: grid", "method: random"): "config error: method=random never ends: add trials=N",
    }.items():
        file.write_text(text.replace(*change))
        assert cli.main(["sweep", "small.yaml"]) == 2
        assert capsys.readouterr().err.startswith(said)
    file.write_text(text)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["sweep", "small.yaml"]) == 2
    assert capsys.readouterr().err.startswith("config error: a2c sweep needs optuna: pip install optuna")
    assert [path.name for path in Path().iterdir()] == ["small.yaml"]


def test_a_folder_belongs_to_one_sweep(file: Path, capsys, monkeypatch):
    monkeypatch.setattr("a2c.sweeps.trial_runs.train", lambda *_: 3)
    monkeypatch.setattr("a2c.sweeps.trial_runs.last_line", lambda folder: "boom")
    assert cli.main(["sweep", "small.yaml"]) == 3
    file.write_text(file.read_text().replace("[1, 2]", "[1, 2, 3]"))
    assert cli.main(["sweep", "small.yaml"]) == 2
    assert "belongs to another sweep (its sweep.yaml differs)" in capsys.readouterr().err
