"""benchmarks/learning.py: what is stored is not trained again, what is missing is, and what the table says of it."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

import learning_time
from learning_tables import markdown, placed, steps_to
from learning_tasks import TABLES, TASKS, Known, Table, Task
from untrained import untrained_scores

import learning

TWO = Task(("env=cartpole", "n_step=3"), floor=10.0, aim=20.0, seeds=range(2), needed=2, known=Known(15, "me", 2))
ONE = Task(("env=cartpole",), floor=0.5, aim=1.0, seeds=range(1), needed=1, digits=3)
TABLE = Table({"two": TWO, "one": ONE}, known="known", curve="known", more=True, document="none")


def run(seed: int, score: float, *evaluations: float, seconds: float = 10.0) -> dict[str, Any]:
    curve = {"env_steps": [1000 * (i + 1) for i in range(len(evaluations))], "eval_mean": list(evaluations)}
    return {"seed": seed, "score": score, "env_steps": 200_000, "wall_seconds": seconds, "curve": curve}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, int]]:
    """The runs that the benchmark asks for; each takes 20 s and scores its seed."""
    asked: list[tuple[str, int]] = []

    def train(overrides: list[str], label: str, runs_dir: Path) -> dict[str, Any]:
        seed = int(overrides[-1].removeprefix("seed="))
        if (label, seed) == ("bench-two-seed1", 1) and not asked:
            raise SystemExit("stopped")
        asked.append((label, seed))
        return run(seed, float(seed), 1.0, seconds=20.0)

    monkeypatch.setattr(learning, "RESULTS", tmp_path)
    monkeypatch.setattr(learning, "TABLES", {"table": TABLE})
    monkeypatch.setattr(learning, "TASKS", TABLE.tasks)
    monkeypatch.setattr(learning, "run_training", train)
    monkeypatch.setattr(learning_time, "measured_seconds", lambda overrides: 30.0)
    return asked


def stored(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "table.json").read_text())["tasks"])


def test_a_stopped_benchmark_goes_on_with_the_runs_that_are_missing(
    trained: list[tuple[str, int]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learning.train_all(["one"], 1, tmp_path)
    learning.keep(tmp_path / "table.json", TABLE.tasks, "two", run(0, 12.0, 1.0, seconds=40.0), "by hand")
    trained.clear()
    with pytest.raises(SystemExit, match="stopped"):  # by seed 1 of "two"
        learning.train_all(["two", "one"], 1, tmp_path)
    trained.append(("any", -1))  # the next one does not fail
    capsys.readouterr()
    learning.train_all(["two", "one"], 1, tmp_path)
    assert trained[1:] == [("bench-two-seed1", 1)]
    # Seed 1 is missing, and seed 0 took 40 s; then nothing is.
    assert capsys.readouterr().out == (
        "1 runs are left, about 40 s\ntwo, seed 1: 1.0 in 20 s; nothing is left to train\n"
    )
    assert [each["score"] for each in stored(tmp_path)["two"]["runs"]] == [12.0, 1.0]
    assert stored(tmp_path)["two"]["floor_met"] == 1  # 12 >= 10 > 1
    assert list(stored(tmp_path)) == ["two", "one"]  # in the order of the tasks, not of the runs


def test_runs_of_other_settings_are_trained_again(trained: list[tuple[str, int]], tmp_path: Path) -> None:
    trained.append(("any", -1))
    learning.train_all(["two"], 1, tmp_path)
    results = json.loads((tmp_path / "table.json").read_text())
    assert results["tasks"]["two"]["settings"]["n_step"] == 3  # what differs from the general settings
    assert "gamma" not in learning.settings_of(["env=acrobot"])
    results["tasks"]["two"]["settings"]["n_step"] = 4  # as if the task had said so
    (tmp_path / "table.json").write_text(json.dumps(results))
    assert learning.missing_seeds(TWO, stored(tmp_path)["two"]) == [0, 1]
    learning.keep(tmp_path / "table.json", TABLE.tasks, "two", run(1, 3.0, 1.0), "by hand")
    assert [each["seed"] for each in stored(tmp_path)["two"]["runs"]] == [1]  # seed 0 was of n_step=4
    assert learning.missing_seeds(TWO, stored(tmp_path)["two"]) == [0]
    assert learning.missing_seeds(TWO, stored(tmp_path)["two"], again=True) == [0, 1]
    assert learning.missing_seeds(TWO, {}, first=1) == [0]
    del results["tasks"]["two"]["settings"]  # older files name none
    assert learning.missing_seeds(TWO, results["tasks"]["two"]) == []


def test_how_long_it_takes_comes_from_stored_runs_and_then_from_those_of_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_time, "measured_seconds", lambda overrides: 30.0 * len(overrides))
    tasks = {"stored": (["a"], [run(0, 0, seconds=40.0), run(1, 0, seconds=60.0)]), "new": (["a", "b"], [])}
    left = learning_time.Remaining(tasks, jobs=2)
    assert left.of({"stored": 1, "new": 1}) == "2 runs are left, at least 55 s"  # (50 + 60) / 2
    left.measured("new", 100.0)
    assert left.of({"stored": 1, "new": 1}) == "2 runs are left, about 75 s"  # (50 + 100) / 2
    left.measured("stored", 200.0)
    assert left.of({"stored": 3, "new": 1}) == "4 runs are left, about 6 minutes"  # (600 + 100) / 2 = 350 s
    assert left.of({"stored": 0, "new": 0}) == "nothing is left to train"
    assert learning_time.duration(7200) == "2.0 hours"


def test_the_table_says_when_the_floor_was_reached() -> None:
    assert steps_to(5.0, run(0, 0, 1.0, 5.0, 2.0, 7.0)) == 2000
    assert steps_to(8.0, run(0, 0, 1.0, 5.0, 2.0, 7.0)) == math.inf
    runs = [run(0, 12.0, 9.0, 11.0, 12.0), run(1, 8.0, 4.0, 8.0, 9.0), run(2, 14.0, 10.0, 1.0, 1.0)]
    # Reached after 2000, never and 1000 steps: the median is 2000. The IQM of three leaves none out: 34 / 3.
    found = markdown(TABLE, {"tasks": {"two": {"runs": runs}, "one": {"runs": [run(0, 0.25, 0.1)]}}}).splitlines()
    assert found[0].startswith("| task | seeds | steps | IQM [95 % interval] | worst seed | floor | aim | steps to the")
    assert found[1] == "|" + "---|" * 11
    assert found[2].startswith("| two | 3 | 0.2M | **11.3** [")
    assert found[2].endswith("| 8.0 | 10: 2 of 3 | 20 | 2k | 20 | 15 ± 2 (me) | 10 |")
    assert found[3].endswith("| 0.250 | 0.5: 0 of 1 | 1 | not reached | 20 |  | 10 |")


def test_chance_and_doing_nothing_stand_beside_the_scores(
    trained: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, path = replace(TABLE, untrained=True), tmp_path / "table.json"
    learning.keep(path, TABLE.tasks, "one", run(0, 0.25, 0.1), "by hand")
    learning.keep(path, TABLE.tasks, "two", run(0, 12.0, 1.0), "by hand")
    played: list[str] = []

    def play(overrides: list[str], idle: int | None) -> dict[str, float | None]:
        played.append(overrides[-1])
        return {"random": 0.125, "idle": None if idle is None else 0.5}

    monkeypatch.setattr(learning, "untrained_scores", play)
    learning.play_untrained(table, path)
    learning.keep(path, TABLE.tasks, "one", run(0, 0.375, 0.1), "by hand")  # one more run forgets nothing
    learning.play_untrained(table, path)
    assert played == ["n_step=3", "env=cartpole"]
    heading, _, two, one = markdown(table, {"tasks": stored(tmp_path)}).splitlines()
    assert heading.endswith("| episodes | random policy | doing nothing | known | seconds a run |")
    assert two.endswith("| 0.1 |  | 15 ± 2 (me) | 10 |")
    assert one.endswith("| 20 | 0.125 |  |  | 10 |")


def test_what_chance_and_doing_nothing_score() -> None:
    assert untrained_scores(["env.id=MountainCarContinuous-v0"], None, 1)["idle"] == 0
    found = untrained_scores(["env.id=MountainCar-v0"], 1, 2)
    assert found == {"random": -200, "idle": -200}
    found = untrained_scores(["env=cartpole"], None, 30)
    assert found["idle"] is None
    assert found["random"] == pytest.approx(22, abs=6)


def test_every_task_has_a_name_of_its_own_and_settings_that_hold() -> None:
    assert sum(len(table.tasks) for table in TABLES.values()) == len(TASKS)
    for name, task in TASKS.items():
        assert learning.settings_of([*learning.overrides_of(task), f"name={learning.label_of(name, 0)}"])["env.id"], (
            name
        )
        assert task.needed <= len(task.seeds), name
        assert task.floor <= task.aim, name


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_the_documents_are_those_of_the_stored_runs(name: str) -> None:
    root = Path(__file__).parents[1]
    results = json.loads((root / "benchmarks" / "results" / f"{name}.json").read_text())
    document = (root / TABLES[name].document).read_text()
    assert placed(markdown(TABLES[name], results), name, document) == document


@pytest.mark.parametrize("name", TABLES)
def test_no_stored_run_is_of_other_settings_than_those_of_its_task(name: str) -> None:
    """A setting that is added with a value of its own belongs into the stored ones too, or all is trained again."""
    results = json.loads((Path(__file__).parents[1] / "benchmarks" / "results" / f"{name}.json").read_text())
    for task, result in results["tasks"].items():
        assert not {run["seed"] for run in result["runs"]}.intersection(learning.missing_seeds(TASKS[task], result)), (
            task
        )


def test_a_table_takes_the_place_of_the_one_before() -> None:
    document = "Scores:\n\n<!-- scores -->\n\n| a |\n|---|\n| 1 |\n\nThat is all.\n"
    expected = document.replace("| 1 |", "| 2 |\n| 3 |")
    assert placed("| a |\n|---|\n| 2 |\n| 3 |\n", "scores", document) == expected
    assert placed("| b |\n", "scores", "<!-- scores -->\n") == "<!-- scores -->\n\n| b |\n\n"
    with pytest.raises(ValueError, match="no <!-- other -->"):
        placed("| b |\n", "other", document)


def test_the_command_of_a_run_that_is_kept_says_nothing_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, folder = tmp_path / "results", tmp_path / "run"
    results.mkdir()
    (folder / ".hydra").mkdir(parents=True)
    typed = ["env=custom", "env.id=A-v0", "env.kwargs={a: 1}", "runs_dir=/home/me", "name=mine", "seed=3"]
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(typed))
    (folder / "metrics.jsonl").write_text('{"global_step": 8, "rollout/ep_rew_mean": 2.0}\n')
    (folder / "curve.png").touch()
    monkeypatch.setattr(learning, "RESULTS", results)
    monkeypatch.setattr(learning, "read_run", lambda folder: {"score": 2.5})
    learning.record("long", folder)
    kept = json.loads((results / "long.json").read_text())
    assert kept["command"] == "a2c train env.id=A-v0 'env.kwargs={a: 1}' seed=3"
    assert (kept["score"], kept["training"]) == (2.5, {"env_steps": [8], "ep_rew_mean": [2.0]})
    assert (results / "long.png").exists()
