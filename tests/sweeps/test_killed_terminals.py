"""Terminals of one sweep are killed again and again: no trial is lost, none is trained twice at once or again."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna")  # the extra a2c[sweep]

from a2c.sweeps.search import open_study  # noqa: E402
from trainings import BAYES, GRID, made  # noqa: E402

TESTS = Path(__file__).parents[1]
TERMINAL = """\
import sys
from a2c.sweeps import training
import trainings
from a2c.sweeps.search import open_study
from a2c.sweeps.sweeping import search
from a2c.sweeps.trial_runs import Plan
training.sys.executable = sys.argv[1]
sweep, trials = getattr(trainings, sys.argv[2]), int(sys.argv[3])
study = open_study(sweep, trainings.made())
search(study, Plan(sweep, trainings.made(), trials, 1, 2, seed=0), print)
"""
# A training, which outlives its terminal. What it leaves is whole at once, as a checkpoint of a real one is.
TRAINING = """\
#!{python}
import os, sys, time
from pathlib import Path
words = dict(word.split("=", 1) for word in sys.argv if "=" in word)
folder = Path(words["hydra.run.dir"].strip("'"))
with open("starts.txt", "a") as file:
    file.write(folder.name + "\\n")
os.mkdir(folder.with_suffix(".busy"))  # fails where another one is at it
time.sleep(0.3)
from past_runs import past_run
past_run("sweep/" + folder.name, scores=[1.0], final=float(folder.name[-1]))
os.rmdir(folder.with_suffix(".busy"))
"""
MOST_KILLS = 25


@pytest.mark.long
@pytest.mark.parametrize(("sweep", "trials"), [("BAYES", 60), ("GRID", 6)])
def test_whoever_is_killed_every_trial_is_trained_once(
    sweep: str, trials: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "training"
    program.write_text(TRAINING.format(python=sys.executable))
    program.chmod(0o755)
    path = os.pathsep.join([str(TESTS), *(part for part in sys.path if part)])
    environment, chance, kills = {**os.environ, "PYTHONPATH": path}, random.Random(1), 0
    live: list[subprocess.Popen[bytes]] = []
    try:
        while 0 not in (codes := [terminal.poll() for terminal in live]):
            assert not any(codes)
            while len(live) < 3:
                command = [sys.executable, "-c", TERMINAL, str(program), sweep, str(trials)]
                live.append(subprocess.Popen(command, env=environment))
            time.sleep(chance.uniform(0.2, 3.0))
            if kills < MOST_KILLS:
                killed = live.pop(chance.randrange(len(live)))
                killed.kill()
                killed.wait()
                kills += 1
        assert [terminal.wait() for terminal in live] == [0] * len(live)
    finally:
        for terminal in live:
            terminal.kill()
            terminal.wait()
    study = open_study({"BAYES": BAYES, "GRID": GRID}[sweep], made())
    assert Counter(trial.state.name for trial in study.trials) == {"COMPLETE": trials}
    assert len({str(trial.params) for trial in study.trials}) == trials
    starts = Counter(Path("starts.txt").read_text().split())
    assert starts == {f"trial-{number:04d}": 1 for number in range(trials)}
