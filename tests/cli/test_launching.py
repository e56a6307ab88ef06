"""What a multirun by a launcher says at its end, and its exit code, whatever its jobs and the launcher did."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from a2c.cli.job_place import asked_to_stop, write_outcome
from a2c.cli.launcher_choice import Launcher
from a2c.cli.launching import launch
from a2c.errors import ConfigError, RunIOError

HERE, ELSEWHERE = Launcher("cores", True, 2), Launcher("slurm", False, None)
JOBS = ("seed=1,2,3", "gamma=0.9")
Launch = Callable[..., int]


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    """Launches three jobs, which a function in the place of Hydra does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("a2c.cli.job_signals._start_trackers", lambda: None)

    def run(do: Callable[[Path], None], launcher: Launcher = HERE) -> int:
        def hydra(arguments: Sequence[str], name: str, job: Any) -> None:
            (place,) = (word.partition("=")[2] for word in arguments if word.startswith("hydra.sweep.dir="))
            do(Path(place.strip("'")))

        monkeypatch.setattr("a2c.cli.launching.call_hydra", hydra)
        return launch(launcher, [], JOBS, argparse.Namespace(trust=False, config_dir=None), "runs")

    return run


def end(place: Path, number: int, code: int, said: str = "") -> None:
    job = place / str(number)
    job.mkdir()
    (job / "errors.log").write_text(said)
    write_outcome(job, [f"seed={number + 1}", "gamma=0.9"], code, 61.4)


def test_the_exit_code_is_that_of_the_first_job_that_failed_not_of_the_first_that_ended(
    launched: Launch, capsys: Any
) -> None:
    told = ""

    def jobs(place: Path) -> None:
        nonlocal told
        end(place, 2, 3, "environment error: lost\n")
        while "environment error" not in told:  # it is told of before the others end
            told += "".join(capsys.readouterr())
        end(place, 1, 4, "a warning\nnumeric error: boom\n")
        end(place, 0, 0)

    assert launched(jobs) == 4
    out, err = capsys.readouterr()
    assert sorted(line for line in (told + out).splitlines() if line.startswith("run ")) == [
        "run 1 of 3 seed=1: no score, 61 s",
        "run 2 of 3 seed=2: exit code 4, 61 s",
        "run 3 of 3 seed=3: exit code 3, 61 s",
    ]
    assert err.splitlines()[:-1] == ["a warning", "numeric error: boom"]
    assert err.splitlines()[-1] == "2 of 3 runs failed: run 2 seed=2 (exit code 4), run 3 seed=3 (exit code 3)"
    assert list(Path("runs").iterdir()) == []


def test_jobs_are_watched_to_their_end_also_where_nobody_reads_any_more(
    launched: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(line: str, **rest: object) -> None:
        if line.startswith("run "):
            raise BrokenPipeError

    def jobs(place: Path) -> None:
        for number, code in enumerate((0, 4, 0)):
            end(place, number, code)

    monkeypatch.setattr("a2c.cli.launching.print", closed, raising=False)
    assert launched(jobs) == 4


def test_a_launcher_that_cannot_begin_is_one_line(launched: Launch) -> None:
    def fails(place: Path) -> None:
        raise RuntimeError("Could not detect srun,\n are you on a cluster?")

    for launcher in (HERE, ELSEWHERE):
        said = f"hydra/launcher={launcher.name}: RuntimeError: Could not detect srun, are you on a cluster?"
        with pytest.raises(ConfigError) as caught:
            launched(fails, launcher)
        assert str(caught.value) == f"config error: {said}"
    assert list(Path("runs").iterdir()) == []


@pytest.mark.parametrize("error", [None, RuntimeError("a worker died")])
def test_a_job_that_left_no_exit_code_is_no_success(error: Exception | None, launched: Launch) -> None:
    def loses(place: Path) -> None:
        (place / "1").mkdir()
        end(place, 0, 0)
        end(place, 2, 0)
        if error is not None:
            raise error

    said = "hydra/launcher=cores has lost run 2" + (": RuntimeError: a worker died" if error else "")
    with pytest.raises(RunIOError, match=f"{said}$"):
        launched(loses)
    assert list(Path("runs").iterdir()) == []


def test_what_a_lost_job_of_slurm_left_stays_to_be_looked_at(launched: Launch) -> None:
    def loses(place: Path) -> None:
        (place / "0").mkdir()
        (place / "submitted.pkl").touch()

    with pytest.raises(RunIOError, match=r"has lost run 1, 2, 3; runs/\.multirun/.* holds its logs"):
        launched(loses, ELSEWHERE)
    assert len(list(Path("runs/.multirun").iterdir())) == 1


def test_signals_reach_the_jobs_by_a_file_and_interrupt_no_launcher(launched: Launch, capsys: Any) -> None:
    blocked: list[int] = []

    def stopped(place: Path) -> None:
        for count in (1, 2):
            os.kill(os.getpid(), signal.SIGINT)
            while len(asked_to_stop(place)) < count:
                time.sleep(0.02)
        assert asked_to_stop(place) == ["SIGINT", "SIGINT"]
        program = "import signal; print(*sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
        of_a_child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        blocked.extend(map(int, of_a_child.stdout.split()))
        end(place, 0, 0)
        end(place, 1, 4)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert launched(stopped) == 130  # neither that of a job, nor has the third been lost
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= {*blocked}  # what a launcher starts hears no Ctrl-C
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    assert capsys.readouterr().err.startswith("stopping: every run finishes its update and is saved; once more ends")


def test_jobs_in_slurm_go_on_when_the_command_is_interrupted(launched: Launch, capsys: Any) -> None:
    def interrupted(place: Path) -> None:
        (place / "submitted.pkl").touch()
        raise KeyboardInterrupt

    assert launched(interrupted, ELSEWHERE) == 130
    assert capsys.readouterr().err.startswith(
        "the jobs go on (scancel stops each in order); what they need lies in runs/"
    )
    assert len(list(Path("runs/.multirun").iterdir())) == 1
