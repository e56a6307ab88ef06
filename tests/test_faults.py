"""What a user sees when something goes wrong in the middle of a run: real processes, real signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from a2c.envs.seeding import EVAL, env_seed

TESTS = Path(__file__).parent
PATIENCE = 300.0  # seconds: no run ends by itself what is waited for here, and a busy machine takes its time
LIGHT = (
    "device=cpu",
    "wandb.mode=disabled",
    "gif=false",
    "eval.every=0",
    "num_envs=4",
    "num_workers=2",
    "log_every=200",
    "env.restarts=0",  # a failure ends the run
)
LONG = ("env=cartpole", "total_steps=1_000_000_000")
ALGOS = pytest.mark.parametrize("algo", ["a2c", "a2c vectorization=workers main_shard=true", "a3c"])

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


class Training:
    """``a2c train`` in a process group of its own, as a terminal would start it; output goes to files."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.runs, self.out, self.err = folder / "runs", folder / "out.txt", folder / "err.txt"
        paths = [str(TESTS.parent / "src"), str(TESTS), os.environ.get("PYTHONPATH", "")]
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "a2c", "train", f"runs_dir={self.runs}", *LIGHT, *overrides],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                cwd=folder,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], object], seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            assert self.process.poll() is None, self.err.read_text()
            assert time.monotonic() < deadline, "it took too long"
            time.sleep(0.02)

    def trains(self) -> bool:
        """A row of metrics has been written."""
        return any(path.stat().st_size for path in self.runs.glob("*/*/metrics.jsonl"))

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @property
    def folder(self) -> Path:
        (folder,) = self.runs.glob("*/*_a?c-seed1")
        return folder


Start = Callable[..., Training]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a training with overrides; none outlives its test, also when the test fails."""
    started: list[Training] = []

    def begin(*overrides: str) -> Training:
        started.append(Training(tmp_path, *overrides))
        return started[-1]

    yield begin
    for run in started:
        run.kill()


@pytest.mark.parametrize(
    ("number", "whole_group", "code"),
    [
        (signal.SIGINT, True, 130),
        (signal.SIGTERM, False, 143),
        (signal.SIGUSR1, True, 143),
        (signal.SIGHUP, True, 129),  # as a closed terminal does
    ],
)
@ALGOS
def test_a_signal_ends_a_run_in_order(
    start: Start, algo: str, number: signal.Signals, whole_group: bool, code: int
) -> None:
    run = start(*LONG, *f"algo={algo}".split())
    run.wait_until(run.trains)
    if whole_group:  # as Ctrl-C in a terminal and Slurm do: the workers get it too
        os.killpg(run.process.pid, number)
    else:
        run.process.send_signal(number)
    assert run.process.wait(PATIENCE) == code
    summary = json.loads((run.folder / "summary.json").read_text())
    assert summary["stopped"] == number.name
    assert (run.folder / "checkpoints" / "last.pt").stat().st_size > 0
    assert f"{number.name}: stopped after {summary['env_steps']:,} steps, checkpoint saved" in run.out.read_text()
    assert run.err.read_text() == ""


def test_an_environment_that_raises_shows_its_own_traceback_and_index(start: Start) -> None:
    run = start("env.id=faulty:Raises-v0")
    assert run.process.wait(PATIENCE) == 3
    error = run.err.read_text()
    first, *rest = error.splitlines()
    # after 40 steps in each: the 41st raises, in the first environment of one of the two workers
    found = re.match(r"environment error: environment (\d) \(worker (\d), pid \d+\) raised ZeroDivisionError", first)
    assert found, error
    assert int(found[1]) == 2 * int(found[2])
    assert "step 41" in first
    assert "faulty.py" in "\n".join(rest)
    assert [line for line in rest if line][-1] == "ZeroDivisionError: the simulator is 100 % broken"
    assert (run.folder / "checkpoints" / "last.pt").exists(), "the run was lost"


@ALGOS
def test_a_killed_worker_is_named(start: Start, algo: str) -> None:
    run = start(*LONG, *f"algo={algo}".split(), "num_envs=4")
    run.wait_until(run.trains)
    victim = min(workers_of(run.process.pid))
    os.kill(victim, signal.SIGKILL)
    assert run.process.wait(PATIENCE) == 3
    error = run.err.read_text()
    assert re.match(rf"environment error: worker \d \(pid {victim}, environments \d-\d\) .*SIGKILL", error), error
    assert (run.folder / "checkpoints" / "last.pt").exists(), "the run was lost"


@ALGOS
def test_nothing_outlives_a_killed_run(start: Start, algo: str) -> None:
    run = start(*LONG, *f"algo={algo}".split())
    run.wait_until(run.trains)
    family = children_of(run.process.pid) | workers_of(run.process.pid)
    assert len(family) >= 3  # the fork server and two workers
    run.process.kill()
    run.process.wait()
    await_end_of(family)


def test_a_reward_that_is_no_number_never_reaches_the_weights(start: Start) -> None:
    run = start("env.id=faulty:NotANumber-v0")
    assert run.process.wait(PATIENCE) == 4
    error = run.err.read_text()
    assert error.startswith("numeric error: environment 0 gave the reward nan in step 41"), error
    assert len(error.splitlines()) == 1


@pytest.fixture
def evaluates(start: Start, tmp_path: Path) -> Training:
    """A training beside which an evaluation is under way that never ends."""
    kwargs = f"env.kwargs={{fault:wait,seeds:[{env_seed(1, EVAL, 0)}],folder:'{tmp_path}'}}"
    apart = ("eval.apart=true", "eval.every=1000", "vectorization=sync", "total_steps=1_000_000_000")
    run = start("env.id=evaluation_toys:Sides-v0", kwargs, *apart)
    run.wait_until((tmp_path / "reached").exists)
    return run


def test_a_killed_process_of_the_evaluation_is_named(evaluates: Training) -> None:
    (victim,) = workers_of(evaluates.process.pid)
    os.kill(victim, signal.SIGKILL)
    assert evaluates.process.wait(PATIENCE) == 3
    named = f"environment error: the process of the evaluation (pid {victim}) was killed by SIGKILL (out of memory?) "
    assert evaluates.err.read_text() == f"{named}while it ran environment 0\n"
    assert (evaluates.folder / "checkpoints" / "last.pt").exists(), "the run was lost"


def test_ctrl_c_ends_a_run_in_order_while_it_evaluates(evaluates: Training) -> None:
    os.killpg(evaluates.process.pid, signal.SIGINT)
    assert evaluates.process.wait(PATIENCE) == 130
    assert json.loads((evaluates.folder / "summary.json").read_text())["stopped"] == "SIGINT"
    assert "eval/" not in (evaluates.folder / "metrics.jsonl").read_text()
    assert evaluates.err.read_text() == ""


def test_no_evaluation_outlives_a_killed_run(evaluates: Training) -> None:
    family = children_of(evaluates.process.pid) | workers_of(evaluates.process.pid)
    assert len(family) >= 2  # the fork server and the process of the evaluation
    evaluates.process.kill()
    evaluates.process.wait()
    await_end_of(family)


def children_of(pid: int) -> set[int]:
    """Processes that ``pid`` started."""
    paths = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for path in paths for child in path.read_text().split()}


def workers_of(pid: int) -> set[int]:
    """Processes that step environments, or learn: children of the fork server, which is a child of the run."""
    return {worker for child in children_of(pid) for worker in children_of(child)}


def await_end_of(family: set[int]) -> None:
    """Wait until none of these processes is left."""
    deadline = time.monotonic() + PATIENCE
    while left := {pid for pid in family if Path(f"/proc/{pid}").exists() and not is_zombie(pid)}:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
