"""Whole multiruns whose launcher starts the jobs in processes of their own."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from a2c.storage.checkpoint import load_checkpoint
from builders import LIGHT
from launched import end_all, ended, processes, saved, started, wait_for
from launchers_here import needs_launchers
from sessions import differences, left_by

SHORT = (*LIGHT, "total_steps=400")
LONG = (*LIGHT, "total_steps=100_000_000", "checkpoint.every=2_000")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    end_all()


def assert_two_runs_and_their_comparison(out: list[str]) -> None:
    lines = [line for line in out if line.startswith("run ")]
    assert sorted(line.split(":")[0] for line in lines) == ["run 1 of 2 seed=1", "run 2 of 2 seed=2"]
    folders = [Path(line.split()[-1]) for line in lines]
    for folder in folders:
        assert json.loads((folder / "summary.json").read_text())["env_steps"] >= 400
        assert "score " in (folder / "console.log").read_text()
    assert any(line.startswith("all equal") for line in out)
    assert out[-1].startswith("again: a2c compare runs/CartPole-v1/")
    assert set(out[-1].split()[3:]) == set(map(str, folders))
    assert not Path("runs/.multirun").exists()  # nothing but runs stays


@needs_launchers
@pytest.mark.long
@pytest.mark.parametrize("launcher", ["cores", "joblib", "submitit_local"])
def test_two_jobs_end_as_without_a_launcher(launcher: str) -> None:
    code, out, err = ended(started(*SHORT, "seed=1,2", f"hydra/launcher={launcher}"))
    assert (code, err) == (0, [])
    assert out[0].startswith(f"2 runs by hydra/launcher={launcher}, ")
    assert_two_runs_and_their_comparison(out)
    alone = subprocess.run(
        [sys.executable, "-m", "a2c", "train", *SHORT, "seed=2", "runs_dir=alone"], capture_output=True, check=True
    )
    assert alone.returncode == 0
    (one,), (other,) = (Path(place).glob("CartPole-v1/*seed2") for place in ("runs", "alone"))
    assert differences(left_by(one), left_by(other)) == []


@needs_launchers
@pytest.mark.long
@pytest.mark.parametrize("launcher", ["cores", "submitit_local"])
def test_jobs_that_fail_in_different_ways_are_told_of_as_without_a_launcher(launcher: str) -> None:
    broken = "env.id=CartPole-v1,NoSuch-v0"
    words = [*LIGHT, "total_steps=3_000_000", broken, "seed=1", f"hydra/launcher={launcher}"]
    process = started(*words)
    wait_for(lambda: Path("err").read_text())  # the second has failed
    wait_for(lambda: list(Path("runs").glob("CartPole-v1/*/metrics.jsonl")))
    (trains,) = processes("a2c.cli.job_process", process.pid)
    os.kill(trains, signal.SIGKILL)
    code, _, err = ended(process)
    assert code == 137  # that of the first job
    assert any(line.startswith(("environment error: ", "config error: ")) for line in err)
    assert not any("Traceback" in line for line in err)
    failed = "2 of 2 runs failed: run 1 env.id=CartPole-v1 (exit code 137), run 2 env.id=NoSuch-v0 (exit code "
    assert err[-1].startswith(failed)
    assert not Path("runs/.multirun").exists()


@needs_launchers
@pytest.mark.long
@pytest.mark.parametrize("launcher", ["cores", "submitit_local"])
def test_ctrl_c_stops_all_jobs_in_order_and_leaves_no_process(launcher: str) -> None:
    process = started(
        *LONG, "seed=1,2,3", f"hydra/launcher={launcher}", *["hydra.launcher.n_jobs=2"] * (launcher == "cores")
    )
    wait_for(lambda: len(saved()) >= 2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: launchers' own processes too
    code, out, err = ended(process)
    assert code == 130
    assert err[0].startswith("stopping: ")
    assert all("Traceback" not in line for line in err)
    lines = [line for line in out if line.startswith("run ")]
    assert len(lines) == 3
    assert all("exit code 130" in line for line in lines)
    runs = [path for path in Path("runs/CartPole-v1").iterdir() if path.is_dir()]
    assert len(runs) == (2 if launcher == "cores" else 3)  # the third had not begun
    for folder in runs:
        told = json.loads((folder / "summary.json").read_text())
        assert told["stopped"] == "SIGINT"
        saved_steps = load_checkpoint(folder / "checkpoints" / "last.pt")["state"]["env_steps"]
        assert saved_steps == told["env_steps"]


@needs_launchers
@pytest.mark.long
def test_a_terminal_that_closes_stops_all_jobs_in_order() -> None:
    ours, theirs = pty.openpty()
    process = started(*LONG, "seed=1,2", "hydra/launcher=cores", terminal=theirs)
    os.close(theirs)
    wait_for(lambda: len(saved()) == 2)
    os.close(ours)  # the kernel hangs up on the whole group
    assert process.wait(300) == 129
    for path in saved():
        assert json.loads((path.parents[1] / "summary.json").read_text())["stopped"] == "SIGHUP"


@needs_launchers
@pytest.mark.long
@pytest.mark.parametrize("launcher", ["cores", "submitit_local"])
def test_a_killed_command_takes_its_jobs_along_which_save(launcher: str) -> None:
    process = started(*LONG, "seed=1,2", f"hydra/launcher={launcher}")
    wait_for(lambda: len(saved()) == 2)
    process.kill()
    process.wait()
    folders = [path.parents[1] for path in saved()]
    wait_for(lambda: all((folder / "summary.json").is_file() for folder in folders))
    assert all(json.loads((folder / "summary.json").read_text())["stopped"] == "SIGTERM" for folder in folders)


@needs_launchers
@pytest.mark.long
def test_resume_auto_goes_on_with_each_unfinished_run_and_leaves_the_finished() -> None:
    words = (*SHORT, "seed=1,2", "hydra/launcher=cores", "resume=auto")
    assert ended(started(*words[:-1], "stop_at=null"))[0] == 0
    code, out, err = ended(started(*words, "stop_at=null"))
    assert (code, err) == (0, [])
    assert_two_runs_and_their_comparison(out)
    assert len(saved()) == 2


@needs_launchers
@pytest.mark.long
def test_a_job_that_the_scheduler_takes_back_goes_on_in_its_run() -> None:
    process = started(
        *LIGHT, "checkpoint.every=2_000", "total_steps=40_000", "seed=1,1", "hydra/launcher=submitit_local"
    )
    wait_for(lambda: len(saved()) == 2)
    for task in processes("submitit.core._submit", process.pid):
        os.kill(task, signal.SIGUSR2)  # "make room": submitit starts the job again
    code, out, err = ended(process)
    assert (code, err) == (0, [])
    assert len([line for line in out if line.startswith("run ")]) == 2
    folders = [path.parents[1] for path in saved()]
    assert len(folders) == 2
    for folder in folders:
        assert "resumed after" in (folder / "console.log").read_text()
        assert json.loads((folder / "summary.json").read_text())["env_steps"] >= 40_000


@needs_launchers
@pytest.mark.long
def test_tasks_of_a_job_train_one_run_by_torchrun() -> None:
    tasks = ("hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=2")
    code, out, err = ended(started(*SHORT, "num_envs=4", "seed=1,2", *tasks))
    assert code == 0, err
    assert_two_runs_and_their_comparison(out)
    for path in saved():
        assert "ranks         2, each with its share of the 4" in (path.parents[1] / "console.log").read_text()
