"""``a2c sweep``: what it answers, and real trainings from beginning to end."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest

from a2c import cli
from a2c.storage.metrics_file import read_rows
from builders import LIGHT

pytest.importorskip("optuna")  # the extra a2c[sweep]

from trainings import Trainings

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
    head, *trials = (folder / "trials.csv").read_text().splitlines()
    assert head == "trial,state,eval/mean_reward,seed"
    assert [line.rpartition(",")[2] for line in trials] == ["1", "2"]


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
        ("method: grid", "method: random"): "config error: method=random never ends: add trials=N, hours=N, or run_cap",
        ("eval.episodes=2", "eval.episodes=0"): "config error: metric eval/mean_reward needs evaluations, and eval.ep",
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


@pytest.mark.long
def test_a_command_searches_confirms_and_goes_on(file: Path, trainings: Trainings, capsys: pytest.CaptureFixture[str]):
    file.write_text(
        file.read_text().replace("name: small\n", "").replace("seed: {values: [1, 2]}", "lr: {values: [0.1, 0.2]}")
    )
    trainings.scores = lambda told: 1000 * float(told.get("lr", 0)) + float(told["seed"])
    assert cli.main(["sweep", "small.yaml", "seeds=3", "confirm=2", "hours=0"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == ["the 0 hours are over; the same command goes on", "nothing to confirm: no trial has a score"]
    assert cli.main(["sweep", "small.yaml", "seeds=3", "confirm=2", "hours=1"]) == 0
    told = capsys.readouterr().out.splitlines()
    # lr=0.2 over seeds 1, 2, 3: 201, 202, 203; confirmed on 101 and 102: 301, 302.
    assert "trial 1 of 2: lr=0.2: 202 (best: 202, trial 1)" in told
    assert next(line for line in told if line.startswith("trial 1  ")).split()[2:] == [
        "2", "of", "2", "301.5", "301", "..", "302",
    ]  # fmt: skip
    count = len(trainings.told)
    assert cli.main(["sweep", "small.yaml", "seeds=3", "confirm=2"]) == 0
    assert len(trainings.told) == count
    assert cli.main(["sweep", "small.yaml"]) == 2
    assert capsys.readouterr().err.startswith("config error: this sweep was begun with seeds=3")


def test_a_sweep_goes_on_although_nobody_reads_it(file: Path, trainings: Trainings, monkeypatch: pytest.MonkeyPatch):
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    trainings.scores = lambda told: float(told["seed"])
    monkeypatch.setattr("sys.stdout", Gone())
    monkeypatch.setattr("a2c.cli.point_nowhere", lambda stream: None)
    assert cli.main(["sweep", "small.yaml"]) == 0
    assert [told[-1] for told in trainings.told] == ["seed=1", "seed=2"]
