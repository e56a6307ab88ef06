"""Multiruns whose launcher starts the jobs in processes of their own."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

import slurm_stand_in
from a2c import cli
from a2c.cli import launched_job as job_module
from a2c.cli.job_nodes import Task, ranks_each, task_here, torchrun
from a2c.cli.job_place import (
    Order,
    ask_to_stop,
    asked_to_stop,
    new_place,
    note_code,
    note_folder,
    outcomes_in,
    write_outcome,
)
from a2c.cli.launched_job import arguments_of, launched_job
from a2c.cli.launcher_choice import launcher_of, number_of_jobs
from a2c.errors import ConfigError
from a2c.settings.compose import launcher_settings, load_config
from a2c.storage.checkpoint import load_checkpoint
from a2c.storage.run_lock import is_held
from builders import LIGHT
from sessions import differences, left_by

HERE = importlib.util.find_spec("hydra_plugins") is not None and all(
    importlib.util.find_spec(name) for name in ("hydra_plugins.hydra_joblib_launcher", "submitit")
)
needs_launchers = pytest.mark.skipif(not HERE, reason="needs the extra a2c[launchers]")
SHORT = (*LIGHT, "total_steps=400")
LONG = (*LIGHT, "total_steps=100_000_000", "checkpoint.every=2_000")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# ---- what a launcher means ----


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a2c.cli.launcher_choice.usable_cores", lambda: 8)


def chosen(settings: dict[str, Any], *overrides: str) -> Any:
    return launcher_of({"_target_": "x.JoblibLauncher", **settings}, ["hydra/launcher=cores", *overrides], [])


@pytest.mark.parametrize(
    ("n_jobs", "jobs", "at_once", "share"),
    [
        (-1, 100, 8, 1),
        (-1, 4, 8, 2),
        (2, 100, 2, 4),
        (3, 100, 3, 2),
        (-2, 100, 7, 1),
        (16, 100, 16, 1),
        (4, None, 4, 2),
    ],
)
def test_jobs_that_run_at_once_share_the_cores(
    n_jobs: int, jobs: int | None, at_once: int, share: int, eight_cores: None
) -> None:
    launcher = chosen({"n_jobs": n_jobs})
    assert (launcher.local, launcher.at_once, launcher.cores(jobs)) == (True, at_once, share)
    assert launcher.overrides == (f"hydra.launcher.n_jobs={at_once}",)  # the cores that we count, not joblib


def test_submitits_local_jobs_all_run_at_once_and_those_of_slurm_elsewhere(eight_cores: None) -> None:
    assert chosen({"_target_": "x.LocalLauncher"}).cores(4) == 2
    slurm = chosen({"_target_": "x.SlurmLauncher"})
    assert (slurm.local, slurm.cores(4)) == (False, None)
    assert launcher_of({"_target_": "x.BasicLauncher"}, [], []) is None


@pytest.mark.parametrize("key", ["hydra.sweep.dir", "hydra.sweep.subdir", "hydra.run.dir"])
def test_runs_of_a_launcher_lie_in_runs_dir(key: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} does not go with hydra/launcher=cores"):
        chosen({}, f"{key}=x")


def test_the_jobs_of_a_multirun_are_counted() -> None:
    assert number_of_jobs(["seed=1,2,3", "lr=0.1,0.2", "gamma=0.9", "num_envs=range(1,3)"]) == 12
    assert number_of_jobs(["seed=1,2", "hydra/sweeper=other"]) is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-m hydra/launcher=corse", "hydra/launcher=corse is not installed; did you mean 'cores'?"),
        ("-m hydra/launcher=x", "hydra/launcher=x is not installed; there are cores, slurm, slurm_nodes"),
        ("hydra/launcher=corse", "hydra/launcher=corse is not installed; did you mean 'cores'?"),
    ],
)
def test_a_launcher_that_there_is_not_is_one_line(words: str, said: str, capsys: Any) -> None:
    assert cli.main(["train", "seed=1", *words.split()]) == 2
    assert capsys.readouterr().err == f"config error: {said}\n"
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(("name", "plugin"), [("cores", "joblib"), ("slurm", "submitit_slurm"), ("joblib", "joblib")])
def test_without_the_extra_one_line_says_what_to_install(
    name: str, plugin: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_config()  # has Hydra look for plugins
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], f"{plugin}.yaml", raising=False)
    assert cli.main(["train", "-m", "seed=1,2", f"hydra/launcher={name}"]) == 2
    said = f'config error: hydra/launcher={name} is not installed: pip install "a2c[launchers]"; without it, a2c sweep '
    assert capsys.readouterr().err == f"{said}FILE jobs=4 trains four at once\n"


@needs_launchers
@pytest.mark.parametrize("name", ["cores", "slurm", "joblib", "submitit_local"])
def test_a_launcher_without_several_runs_is_refused(name: str, capsys: Any) -> None:
    assert cli.main(["train", f"hydra/launcher={name}"]) == 2
    said = f"config error: hydra/launcher={name} starts the jobs of a multirun; add -m, as in -m seed=1,2,3, or leave"
    assert capsys.readouterr().err == f"{said} it out\n"
    assert list(Path().iterdir()) == []


@needs_launchers
def test_a_sweeps_server_starts_no_launcher(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    assert cli.main(["train", "-m", "seed=1,2", "hydra/launcher=cores"]) == 2
    assert "sets Hydra's own settings, which a sweep may not" in capsys.readouterr().err


@needs_launchers
def test_a_launchers_options_name_no_code(capsys: Any) -> None:
    for option in ("hydra.launcher._target_=os.system", "+hydra.launcher.x={_target_: os.system}"):
        assert cli.main(["train", "-m", "seed=1,2", "hydra/launcher=cores", option]) == 2
        assert "names code to run" in capsys.readouterr().err


@needs_launchers
def test_ours_are_made_for_hours_and_for_what_slurm_takes_back() -> None:
    assert launcher_settings(["hydra/launcher=cores"])["n_jobs"] == -1
    slurm, nodes = (launcher_settings([f"hydra/launcher={name}"]) for name in ("slurm", "slurm_nodes"))
    assert slurm["additional_parameters"] == {"requeue": True}
    assert slurm["max_num_timeout"] > 10
    assert {**slurm, "nodes": 2} == nodes


# ---- what jobs are told and leave ----


def order(**changes: Any) -> Order:
    fields = {"options": [], "folder": os.getcwd(), "paths": sys.path, "cores": 1, "local": True}
    return Order(**fields | {"full_errors": False, "command": os.getpid()} | changes)


def test_outcomes_are_found_by_number_and_hold_no_secret() -> None:
    place = new_place(Path("runs"), order())
    assert stat.S_IMODE(place.stat().st_mode) == 0o700  # launchers write all settings there
    for number, code in ((10, 0), (9, 3)):
        (place / str(number)).mkdir()
        write_outcome(place / str(number), ["seed=1", "env.kwargs.api_key=hidden"], code, 1.0)
    (place / "11").mkdir()  # goes on
    found = outcomes_in(place)
    assert [(number, outcome.exit_code) for number, outcome in found.items()] == [(9, 3), (10, 0)]
    assert "hidden" not in str(found)


def test_a_job_that_starts_again_goes_on_with_its_run() -> None:
    once = arguments_of(order(options=["--trust"]), ["seed=1", "resume=x.pt"], again=False)
    again = arguments_of(order(options=["--trust"]), ["seed=1", "resume=x.pt"], again=True)
    assert once == ["--trust", "seed=1", "resume=x.pt"]
    assert again == ["--trust", "seed=1", "resume=auto"]


@pytest.mark.parametrize(
    ("ranks", "tasks", "gpus", "each"), [(1, 2, None, 1), (1, 2, 4, 4), (8, 2, None, 4), (2, 2, 4, 1)]
)
def test_the_tasks_of_a_job_share_its_ranks(ranks: int, tasks: int, gpus: int | None, each: int) -> None:
    assert ranks_each(ranks, tasks, gpus) == each


def test_ranks_that_nodes_cannot_share_are_refused_before_anything_starts() -> None:
    cfg = load_config("ranks=3", "num_envs=8")
    with pytest.raises(ConfigError, match="ranks=3 must be a multiple of the 2 tasks of a job; leave ranks out"):
        launcher_of({"_target_": "x.SlurmLauncher", "nodes": 2, "tasks_per_node": 1}, [], [cfg])


@needs_launchers
def test_every_node_meets_the_others_at_the_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"JOB_ID": "1230047", "NTASKS": "3", "JOB_NUM_NODES": "3", "NODEID": "1", "PROCID": "1", "LOCALID": "0"}
    for name, value in {**said, "JOB_NODELIST": "gpu[07-08,11]"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    task = task_here()
    assert task == Task(number=1, count=3, job="1230047", first="gpu07", local=False)
    words = torchrun(task, 4)
    assert words[1:3] == ["-m", "a2c.cli.job_nodes"]
    assert words[-2:] == ["-m", "a2c.cli.job_process"]
    assert {"--nnodes=3", "--nproc-per-node=4", "--rdzv-backend=c10d", "--rdzv-endpoint=gpu07:20047"} <= set(words)
    assert "--local-addr=127.0.0.1" not in words


@contextlib.contextmanager
def as_job(place: Path, *overrides: str) -> Iterator[Any]:
    """Hydra's state as in a launcher's process, for one job."""
    before = HydraConfig.instance().cfg
    tree = {"runtime": {"output_dir": str(place)}, "overrides": {"task": list(overrides)}, "launcher": {}}
    HydraConfig.instance().cfg = OmegaConf.create({"hydra": tree})
    try:
        yield OmegaConf.create({"ranks": 1})
    finally:
        HydraConfig.instance().cfg = before


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Path]]:
    """Runs a program in the place of a job's process, and returns the job's exit code and place."""
    multirun, real = new_place(Path("runs"), order()), subprocess.Popen

    def run(program: str, *overrides: str, begin: Callable[[Path], object] = lambda job: None) -> tuple[int, Path]:
        place = multirun / str(len(list(multirun.glob("[0-9]*"))))
        place.mkdir()
        begin(place)
        monkeypatch.setattr(
            job_module.subprocess, "Popen", lambda command, **rest: real([sys.executable, "-c", program], **rest)
        )
        with as_job(place, *overrides) as tree:
            return launched_job(tree), place

    return run


def test_a_jobs_exit_code_is_that_of_its_process_whatever_ends_it(job: Any) -> None:
    for number, program in enumerate(("", "exit(3)", "import os; os.kill(os.getpid(), 9)")):
        code, place = job(program, "seed=1")
        assert code == (0, 3, 137)[number]
        assert outcomes_in(place.parent)[number].exit_code == code
        assert outcomes_in(place.parent)[number].overrides == ["seed=1"]


def test_under_torchrun_the_first_ranks_own_code_counts(job: Any) -> None:
    assert job("exit(1)", begin=lambda place: note_code(place, 4))[0] == 4  # torchrun's is 1 for any failure


def test_a_job_that_has_not_begun_when_the_multirun_is_stopped_does_not_begin(job: Any) -> None:
    code, place = job("open('begun', 'w')", begin=lambda place: ask_to_stop(place.parent, ["SIGTERM"]))
    assert (code, outcomes_in(place.parent)[0].exit_code) == (143, 143)
    assert not Path("begun").exists()


def test_a_jobs_process_knows_its_place_its_share_and_no_argument_that_others_could_read(job: Any) -> None:
    program = "import os, json; json.dump(dict(os.environ), open('environ', 'w'))"
    _, place = job(program, "seed=1", "env.kwargs.token=hidden", begin=lambda place: note_folder(place, Path("run")))
    environ = json.loads(Path("environ").read_text())
    assert environ["A2C_JOB_PLACE"] == str(place)
    assert json.loads(environ["A2C_JOB_ARGUMENTS"]) == ["seed=1", "env.kwargs.token=hidden", "resume=auto"]
    assert environ["A2C_CORES"] == "1"
    assert "HYDRA_FULL_ERROR" not in environ


def test_the_command_asks_by_each_signal_that_it_hears() -> None:
    place = new_place(Path("runs"), order())
    assert asked_to_stop(place) == []
    ask_to_stop(place, ["SIGINT", "SIGINT"])
    assert asked_to_stop(place) == ["SIGINT", "SIGINT"]


# ---- whole multiruns ----


_started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _ended_commands() -> Iterator[None]:
    """After a test that has failed, nothing goes on for hours."""
    yield
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
            process.wait()
    for place in Path().absolute().glob("runs/*/*/.lock"):
        if (holder := place.read_text().split()[1:2]) and is_held(place.parent):
            os.kill(int(holder[0]), signal.SIGKILL)


def started(*words: str, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """``a2c train -m`` in a session of its own, which has its process group to itself as in a terminal."""
    with Path("out").open("w") as out, Path("err").open("w") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "a2c", "train", "-m", *words],
            stdout=out, stderr=err, text=True, start_new_session=True, env=os.environ | (environ or {}),
        )  # fmt: skip
    _started.append(process)
    return process


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str], list[str]]:
    """Its exit code, and the lines that it printed."""
    code = process.wait(timeout=600)
    return code, Path("out").read_text().splitlines(), Path("err").read_text().splitlines()


def wait_for(condition: Callable[[], Any], seconds: float = 300.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, Path("err").read_text() + Path("out").read_text()
        time.sleep(0.05)
    return found


def saved() -> list[Path]:
    return sorted(Path("runs").glob("CartPole-v1/*/checkpoints/last.pt"))


def processes(word: str, below: int) -> list[int]:
    """The processes below one whose command lines hold a word."""
    found, waiting = [], [below]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError):
            if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())
    return sorted(found)


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


@needs_launchers
@pytest.mark.long
@pytest.mark.parametrize("launcher", ["slurm", "slurm_nodes"])
def test_a_slurm_array_is_requeued_and_goes_on(launcher: str, tmp_path: Path) -> None:
    environ = slurm_stand_in.install(tmp_path / "slurm")
    more = ("num_envs=4", "checkpoint.every=2_000", "total_steps=40_000", "seed=1,2", f"hydra/launcher={launcher}")
    process = started(*LIGHT, *more, environ=environ)
    wait_for(lambda: len(saved()) == 2)
    tasks = [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if is_task(pid, tmp_path)]
    assert len(tasks) == (2 if launcher == "slurm" else 4)
    for task in tasks:
        with contextlib.suppress(ProcessLookupError):
            os.kill(task, signal.SIGUSR2)  # the time of the jobs is over soon
    code, out, err = ended(process)
    assert (code, err) == (0, [])
    assert len([line for line in out if line.startswith("run ")]) == 2
    assert len(saved()) == 2
    for path in saved():
        assert "resumed after" in (path.parents[1] / "console.log").read_text()
        assert load_checkpoint(path)["state"]["env_steps"] >= 40_000
    wait_for(lambda: all(path.read_text() == "COMPLETED" for path in (tmp_path / "slurm").glob("*.state")))


def is_task(pid: int, place: Path) -> bool:
    """Whether a process is a task that submitit has started from here."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        return words[1:4] == ["-u", "-m", "submitit.core._submit"] and words[4].startswith(str(place))
    return False
