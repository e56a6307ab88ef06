"""What a launcher calls for each job, and what the job is told, leaves and hears."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

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
from a2c.cli.job_scheduler import Scheduler
from a2c.cli.launched_job import arguments_of, launched_job
from a2c.cli.launcher_choice import launcher_of
from a2c.errors import ConfigError
from a2c.settings.compose import load_config
from launchers_here import needs_launchers


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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
def as_job(place: Path, *overrides: str, launcher: str = "joblib") -> Iterator[Any]:
    """Hydra's state as in a launcher's process, for one job."""
    before = HydraConfig.instance().cfg
    tree = {
        "runtime": {"output_dir": str(place)},
        "overrides": {"task": list(overrides)},
        "launcher": {"_target_": launcher},
    }
    HydraConfig.instance().cfg = OmegaConf.create({"hydra": tree})
    try:
        yield OmegaConf.create({"ranks": 1})
    finally:
        HydraConfig.instance().cfg = before


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Path]]:
    """Runs a program in the place of a job's process, and returns the job's exit code and place."""
    multirun, real = new_place(Path("runs"), order()), subprocess.Popen

    def run(
        program: str, *overrides: str, begin: Callable[[Path], object] = lambda job: None, launcher: str = "joblib"
    ) -> tuple[int, Path]:
        place = multirun / str(len(list(multirun.glob("[0-9]*"))))
        place.mkdir()
        begin(place)
        monkeypatch.setattr(
            job_module.subprocess, "Popen", lambda command, **rest: real([sys.executable, "-c", program], **rest)
        )
        with as_job(place, *overrides, launcher=launcher) as tree:
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


def test_a_jobs_process_knows_its_place_its_share_and_no_argument_that_others_could_read(
    job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # as Hydra is called; the user has not asked for it
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


@pytest.fixture
def of_submitit() -> Iterator[list[int]]:
    """The signals that submitit's handlers were called with."""
    called: list[int] = []
    before = {
        number: signal.signal(number, lambda n, _: called.append(n)) for number in (signal.SIGTERM, signal.SIGUSR2)
    }
    yield called
    for number, handler in before.items():
        signal.signal(number, handler)


LOCAL, SLURM = (Task(0, 1, "1", "here", local=local) for local in (True, False))


@pytest.mark.parametrize("task", [LOCAL, SLURM])
def test_a_job_that_makes_room_starts_again_once_it_is_saved(task: Task, of_submitit: list[int]) -> None:
    with Scheduler(task) as scheduler:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert scheduler.heard == [signal.SIGUSR2]
        assert of_submitit == []  # it is not saved yet
        scheduler.go_on()
        assert of_submitit == [signal.SIGUSR2]
    os.kill(os.getpid(), signal.SIGUSR2)
    assert of_submitit == [signal.SIGUSR2] * 2  # submitit hears again


def test_after_a_sigterm_slurm_may_still_say_that_the_job_shall_start_again(
    of_submitit: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scheduler(SLURM) as scheduler:
        os.kill(os.getpid(), signal.SIGTERM)
        later = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR2))
        later.start()
        scheduler.go_on()
        later.join()
        assert of_submitit == [signal.SIGUSR2]
    monkeypatch.setattr("a2c.cli.job_scheduler.LINGER", 0.3)
    for task in (SLURM, LOCAL):
        with Scheduler(task) as scheduler:
            os.kill(os.getpid(), signal.SIGTERM)
            scheduler.go_on()  # nothing follows: that was all
    assert of_submitit == [signal.SIGUSR2]


def test_a_job_that_is_asked_to_end_is_asked_by_one_signal(job: Any, of_submitit: list[int], monkeypatch: Any) -> None:
    monkeypatch.setattr(job_module, "task_here", lambda: LOCAL)
    program = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: heard.append(1))\n"
        "heard = []\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "time.sleep(1.5)\n"
        "sys.exit(100 + len(heard))"
    )
    assert job(program, launcher="hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher")[0] == 101
    assert of_submitit == []


def test_a_command_that_is_a_job_of_submitit_itself_starts_jobs_as_any_other(job: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setattr(job_module, "torchrun", None)
    assert job("exit(3)")[0] == 3
