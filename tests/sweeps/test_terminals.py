"""Several processes work on one sweep: each trial is trained once, whoever dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from a2c.storage.run_lock import hold, locked
from a2c.sweeps.claims import choosing, claim
from past_runs import past_run

optuna = pytest.importorskip("optuna")  # the extra a2c[sweep]

from a2c.sweeps.search import open_study  # noqa: E402
from a2c.sweeps.sweeping import search  # noqa: E402
from a2c.sweeps.training import is_training  # noqa: E402
from a2c.sweeps.trial_runs import Plan  # noqa: E402
from trainings import BAYES, GRID, Trainings, do, made  # noqa: E402

TESTS = Path(__file__).parents[1]

# A terminal: it notes each training, and hangs in its first one if it is told to.
TERMINAL = """\
import sys, time
from pathlib import Path
import a2c.sweeps.trial_runs
import trainings
name, sweep, trials = sys.argv[1], getattr(trainings, sys.argv[2]), int(sys.argv[3])
made = trainings.Trainings()
def train(folder, overrides, stop):
    with open("told.txt", "a") as file:
        file.write(f"{name} {folder.name} {' '.join(overrides)}\\n")
    print("trains", folder.name, flush=True)
    while name == "hangs":
        time.sleep(0.05)
    return made.train(folder, overrides, stop)
a2c.sweeps.trial_runs.train = train
from a2c.sweeps.search import open_study
from a2c.sweeps.sweeping import search
from a2c.sweeps.trial_runs import Plan
study = open_study(sweep, trainings.made())
search(study, Plan(sweep, trainings.made(), trials, 1, 1, seed=0), lambda line: print(line, flush=True))
"""


@contextlib.contextmanager
def terminal(name: str, sweep: str, trials: int) -> Iterator[subprocess.Popen[str]]:
    path = os.pathsep.join([str(TESTS), *(part for part in sys.path if part)])
    process = subprocess.Popen(
        [sys.executable, "-c", TERMINAL, name, sweep, str(trials)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told() -> list[list[str]]:
    return [line.split() for line in Path("told.txt").read_text().splitlines()]


@pytest.mark.parametrize(("sweep", "trials"), [("GRID", 6), ("BAYES", 5)])
def test_who_is_killed_has_its_trial_trained_by_the_other(sweep: str, trials: int, trainings: Trainings):
    with terminal("hangs", sweep, trials) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "trains trial-0000\n"
        with terminal("works", sweep, trials) as second:
            assert second.stdout is not None
            lines = iter(second.stdout.readline, "")
            until = list(iter(lambda: next(lines), "waiting for trial-0000, at work in another process\n"))
            assert not any("trial-0000" in line for line in until)
            first.send_signal(signal.SIGKILL)
            assert next(lines) == "trains trial-0000\n"
            assert second.wait() == 0
    # Each trial once, and the one whose process was killed once more, with the same values.
    assert Counter(line[1] for line in told()) == {
        f"trial-{number:04d}": 2 if number == 0 else 1 for number in range(trials)
    }
    assert len({tuple(line[2:]) for line in told()}) == trials
    study, _, lines = do({"GRID": GRID, "BAYES": BAYES}[sweep], trials)
    assert lines == []
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * trials


def test_two_terminals_share_a_grid(trainings: Trainings):
    with terminal("one", "GRID", 6) as one, terminal("two", "GRID", 6) as two:
        assert (one.wait(), two.wait()) == (0, 0)
    assert Counter(line[1] for line in told()) == {f"trial-{number:04d}": 1 for number in range(6)}
    assert len({tuple(line[2:]) for line in told()}) == 6


def test_a_training_whose_sweep_was_killed_is_left_to_itself_and_its_result_taken_up(trainings: Trainings):
    study, stack, lines = open_study(GRID, made()), contextlib.ExitStack(), []
    study.ask()
    stack.enter_context(locked(past_run("sweep/trial-0000", scores=[7.0], final=7.0), pytest.fail))

    def tell(line: str) -> None:
        lines.append(line)
        if line.startswith("waiting"):
            stack.close()  # it has ended

    search(study, Plan(GRID, made(), 2, 1, 1, seed=0), tell)
    assert trainings.told == [["env=cartpole", "lr=0.1", "n_step=8"]]
    assert lines == [
        "trial 1 of 2: lr=0.1 n_step=8: 8 (best: 8, trial 1)",
        "waiting for trial-0000, at work in another process",
        "trial 0 of 2: lr=0.1 n_step=5: 7 (best: 8, trial 1)",
    ]


def test_a_training_counts_from_its_start_on(tmp_path: Path):
    folder = tmp_path / "trial-0000"
    assert not is_training(folder)
    with folder.with_suffix(".log").open("ab") as log:
        assert hold(log.fileno())
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=log)
    assert is_training(folder)  # although we have closed it: the child has not
    child.communicate(b"\n")
    assert not is_training(folder)


def test_a_claim_is_one_processs_until_it_is_given_back(tmp_path: Path):
    mine = claim(tmp_path, "trial-0000")
    assert mine is not None
    assert claim(tmp_path, "trial-0000") is None
    other = claim(tmp_path, "trial-0001")
    assert other is not None
    mine.close()
    again = claim(tmp_path, "trial-0000")
    assert again is not None
    again.close()
    other.close()


def test_who_chooses_waits_for_the_turn(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from a2c.sweeps.claims import choosing\n"
        "with choosing(Path(sys.argv[1])): print('in')"
    )
    with choosing(tmp_path):
        waiting = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(1.0)
    assert waiting.communicate()[0] == "in\n"
