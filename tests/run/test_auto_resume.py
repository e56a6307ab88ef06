"""The same command again and again trains one run to its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import a2c
from a2c.cli import main
from a2c.run.auto_resume import chosen
from a2c.storage.checkpoint import load_checkpoint
from a2c.storage.metrics_file import read_rows
from a2c.storage.run_lock import LOCK, locked
from builders import LIGHT

pytestmark = pytest.mark.long

SESSION = ("env=cartpole", *LIGHT, "n_step=5", "resume=auto")
AUTO = (*SESSION, "total_steps=300")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(*overrides: str) -> a2c.Summary:
    return a2c.train(a2c.load_config(*AUTO, *overrides))


def runs() -> list[Path]:
    return sorted(Path("runs/CartPole-v1").resolve().iterdir())


def unfinished(*overrides: str) -> Path:
    """A run that was stopped: what it had ended with is what it would go on to, so that it loses no step here."""
    folder = Path(train(*overrides).folder).resolve()
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "stopped": "SIGTERM"}))
    return folder


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_the_first_time_it_begins_a_run_and_the_last_time_it_says_that_there_is_nothing_to_do(capsys: Any) -> None:
    assert main(["train", *AUTO]) == 0
    (run,) = runs()
    before = contents(Path("runs"))
    capsys.readouterr()
    assert main(["train", *AUTO]) == 0
    result = json.loads((run / "summary.json").read_text())
    score = f"{result['eval_mean']:.2f} +- {result['eval_std']:.2f}"
    assert capsys.readouterr().out == (
        f"{os.path.relpath(run)} is finished: score {score} after 300 steps; nothing is left to do\n"
    )
    assert contents(Path("runs")) == before


def test_python_gives_back_the_results_of_the_finished_run() -> None:
    first = train()
    before = contents(Path("runs"))
    assert train() == first
    assert contents(Path("runs")) == before


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cli", "api"])
def test_a_stopped_run_goes_on_in_its_folder(how: str) -> None:
    command = [sys.executable, "-m", "a2c", "train", *SESSION, "total_steps=1e9"]
    with Path("out").open("w") as out:
        first = subprocess.Popen(command, stdout=out, stderr=out)
        while not list(Path("runs").glob("*/*/metrics.jsonl")) or not read_rows(runs()[0] / "metrics.jsonl"):
            assert first.poll() is None, Path("out").read_text()
        first.send_signal(signal.SIGTERM)
        assert first.wait() == 143
    (run,) = runs()
    state = load_checkpoint(run / "checkpoints" / "last.pt")["state"]
    _shorten(run, state["env_steps"] + 100)
    more = (*SESSION, f"total_steps={state['env_steps'] + 100}")
    if how == "cli":
        assert main(["train", *more]) == 0
    else:
        a2c.train(a2c.load_config(*more))
    assert runs() == [run]
    again = load_checkpoint(run / "checkpoints" / "last.pt")["state"]
    assert again["env_steps"] >= state["env_steps"] + 100
    assert again["update"] > state["update"]
    steps = [row["global_step"] for row in read_rows(run / "metrics.jsonl")]
    assert steps == sorted(set(steps))


def _shorten(run: Path, total_steps: int) -> None:
    """As if the run had been begun with so few steps."""
    path = run / ".hydra" / "config.yaml"
    text = path.read_text()
    (line,) = (line for line in text.splitlines() if line.startswith("total_steps"))
    path.write_text(text.replace(line, f"total_steps: {total_steps}"))


def test_other_settings_are_another_run_and_those_of_the_session_are_not() -> None:
    run = unfinished()
    for other in ("gamma=0.5", "seed=2", "name=mine", "env.kwargs.sutton_barto_reward=true"):
        train(other)
    assert len(runs()) == 5
    assert train("threads=2", "profile=false", "num_workers=2", "wandb.mode=null").folder == str(run)
    assert len(runs()) == 5


def test_a_name_tells_equal_runs_apart() -> None:
    mine, nobodys = unfinished("name=mine"), unfinished()
    assert (train("name=mine").folder, train().folder) == (str(mine), str(nobodys))


def test_the_newest_of_equal_runs_goes_on() -> None:
    old = unfinished()
    new = old.with_name("2999-01-01_00-00-00_a2c-seed1_10")
    shutil.copytree(old, new)
    shutil.copytree(old, new.with_name("2999-01-01_00-00-00_a2c-seed1_9"))
    with chosen(a2c.load_config(*AUTO)) as choice:
        assert (choice.folder, choice.resume) == (new, str(new))


@pytest.mark.parametrize("how", ["cli", "api"])
def test_the_second_of_two_at_once_begins_a_run_of_its_own(how: str) -> None:
    run = unfinished()
    with locked(run, pytest.fail):
        if how == "cli":
            assert main(["train", *AUTO]) == 0
        else:
            train()
    assert len(runs()) == 2


def test_the_second_takes_the_next_one_if_there_is_one() -> None:
    old = unfinished()
    new = old.with_name("2999-01-01_00-00-00_a2c-seed1")
    shutil.copytree(old, new)
    cfg = a2c.load_config(*AUTO)
    with chosen(cfg) as first:
        # Another process would find the lock taken; in this one, other folders than those reserved count.
        assert first.folder == new
        child = (
            "import a2c, sys; from a2c.run.auto_resume import chosen\n"
            f"with chosen(a2c.load_config(*{AUTO!r})) as choice: print(choice.folder)"
        )
        with Path("out").open("w") as out:
            subprocess.run([sys.executable, "-c", child], stdout=out, check=True)
        assert Path("out").read_text() == f"{old}\n"


def test_the_lock_is_free_again_afterwards() -> None:
    run = unfinished()
    train()
    with locked(run, pytest.fail):
        pass


def test_a_run_without_a_checkpoint_begins_again_in_its_folder(capsys: Any) -> None:
    run = unfinished()
    shutil.rmtree(run / "checkpoints")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"global_step": 100, "half')
    assert main(["train", *AUTO]) == 0
    assert runs() == [run]
    assert [row["global_step"] for row in read_rows(run / "metrics.jsonl")] == [100, 200, 300]
    assert load_checkpoint(run / "checkpoints" / "last.pt")["state"]["env_steps"] == 300
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("what", ["checkpoints", "settings"])
def test_a_run_that_is_damaged_is_passed_over_aloud(what: str, capsys: Any) -> None:
    run = unfinished()
    if what == "settings":
        (run / ".hydra" / "config.yaml").write_text("env: [")
    for path in (run / "checkpoints").iterdir() if what == "checkpoints" else ():
        path.write_bytes(b"")
    before = contents(run)
    assert main(["train", *AUTO]) == 0
    said = capsys.readouterr().err
    assert said.startswith(f"resume=auto passes over {run}: ")
    assert said.count("\n") == 1
    assert contents(run) == before
    assert len(runs()) == 2


def test_a_damaged_newest_checkpoint_is_no_damaged_run(capsys: Any) -> None:
    run = unfinished("checkpoint.every=100")
    os.truncate(run / "checkpoints" / "last.pt", 0)
    assert main(["train", *AUTO, "checkpoint.every=100"]) == 0
    assert runs() == [run]
    assert capsys.readouterr().err.count("last.pt is damaged or no checkpoint of a2c: it does not match") == 1
    assert [row["global_step"] for row in read_rows(run / "metrics.jsonl")] == [100, 200, 300]


def test_a_sweep_of_several_runs_has_no_run_to_go_on_with(capsys: Any) -> None:
    assert main(["train", *AUTO, "-m", "seed=1,2"]) == 2
    assert capsys.readouterr().err == "config error: resume=auto goes on with one run; leave out -m\n"
    assert not Path("runs").exists()


def test_the_settings_can_be_shown_without_choosing(capsys: Any) -> None:
    assert main(["train", *AUTO, "--cfg", "job"]) == 0
    assert "resume: auto" in capsys.readouterr().out
    assert not Path("runs").exists()
