"""What a sweep sees of its trials, and its screen on a terminal and elsewhere."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

optuna = pytest.importorskip("optuna")  # the extra a2c[sweep]

from optuna.trial import TrialState  # noqa: E402

from a2c.sweeps import sweep_screen  # noqa: E402
from a2c.sweeps.sweep_file import Parameter  # noqa: E402
from a2c.sweeps.sweep_screen import SweepScreen  # noqa: E402
from a2c.sweeps.trial_runs import Plan  # noqa: E402
from a2c.sweeps.trial_watch import DONE, FAILED, PRUNED, RUNNING, TrialWatch  # noqa: E402
from made_sweeps import made_study, made_sweep, made_trial  # noqa: E402
from past_runs import past_run  # noqa: E402
from screens import OF_TERMINALS, Screen  # noqa: E402

SWEEP = made_sweep({"n_step": Parameter(("5", "8")), "env.id": Parameter(("CartPole-v1",))})
VALUES = {"n_step": "8", "env.id": "CartPole-v1"}


def watched(*trials: optuna.trial.FrozenTrial, seeds: int = 1) -> TrialWatch:
    return TrialWatch(made_study(SWEEP, trials), Plan(SWEEP, Path("runs/sweep").absolute(), 9, seeds, 1, 0))


def trial(state: TrialState, score: float | None = None) -> optuna.trial.FrozenTrial:
    return made_trial(SWEEP, VALUES, score, state=state)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/sweep").mkdir(parents=True)


def test_a_running_trial_is_as_far_as_its_seeds_together():
    past_run("sweep/trial-0000-seed1", "total_steps=400", scores=[1, 2, 3, 4], final=4.0)
    past_run("sweep/trial-0000-seed2", "total_steps=400", scores=[7], final=None)
    (found,) = watched(trial(TrialState.RUNNING), seeds=3)()
    assert (found.state, found.steps, found.total) == (RUNNING, 500, 1200)
    assert found.score == 7.0  # of the run that goes on
    assert found.values == VALUES


def test_a_trial_without_a_run_is_no_error():
    (found,) = watched(trial(TrialState.RUNNING))()
    assert (found.share, found.score) == (0.0, None)
    Path("runs/sweep/trial-0000/.hydra").mkdir(parents=True)
    Path("runs/sweep/trial-0000/.hydra/config.yaml").write_text("env: {")
    assert watched(trial(TrialState.RUNNING))()[0].share == 0.0


def test_how_a_trial_ended_is_said():
    past_run("sweep/trial-0001", "total_steps=900", scores=[1, 2], stopped="SIGTERM")
    Path("runs/sweep/trial-0002.log").write_text("began\nnumeric error: boom\n\n")
    done, pruned, failed = watched(
        trial(TrialState.COMPLETE, 3.5), trial(TrialState.PRUNED), trial(TrialState.FAIL), trial(TrialState.WAITING)
    )()
    assert (done.state, done.score) == (DONE, 3.5)
    assert (pruned.state, pruned.score, pruned.steps) == (PRUNED, None, 200)
    assert (failed.state, failed.said) == (FAILED, "numeric error: boom")


# The screen.


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in OF_TERMINALS:
        monkeypatch.delenv(name, raising=False)
    screen = Screen(80)
    yield screen
    screen.close()


LINES = [
    "trial 0 of 9: n_step=8: 3.5 (best: 3.5, trial 0)",
    "trial 1 of 9: n_step=8: failed with exit code 4: numeric error: boom (best: 3.5, trial 0)",
    "the hours are over",
]


def test_without_a_terminal_every_line_is_told_and_nothing_else():
    stream = io.StringIO()
    with SweepScreen(watched(), SWEEP, 9, stream=stream) as screen:
        for line in LINES:
            screen.tell(line)
    assert stream.getvalue().splitlines() == LINES


def test_on_a_terminal_the_table_moves_and_lines_that_it_lacks_are_told(terminal: Screen, monkeypatch):
    monkeypatch.setattr(sweep_screen, "REDRAW", 0.3)
    run = past_run("sweep/trial-0001", "total_steps=400", scores=[1], final=None)
    with SweepScreen(
        watched(trial(TrialState.COMPLETE, 3.5), trial(TrialState.RUNNING)), SWEEP, 9, stream=terminal.stream
    ) as screen:
        seen = waited(terminal, " 25%")
        assert "1 of 9 trials  1 running  best 3.5 (trial 0)" in seen
        assert "env.id" not in seen  # it has one value
        with (run / "metrics.jsonl").open("a") as rows:
            rows.write(json.dumps({"global_step": 300}) + "\n")
        waited(terminal, " 75%")
        for line in LINES:
            screen.tell(line)
    shown = terminal.read()
    assert LINES[0] not in shown
    assert "failed with exit code 4" in shown
    assert LINES[2] in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back


def waited(terminal: Screen, text: str) -> str:
    """What the terminal shows once this text is there."""
    for _ in range(2000):  # each waits for a moment
        if text in terminal.read():
            return terminal.raw
    pytest.fail(f"{text!r} never came")


def test_a_pipe_that_closes_silences_the_screen_and_ends_nothing():
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with SweepScreen(watched(), SWEEP, 9, stream=Closed()) as screen:
        screen.tell(LINES[0])
        screen.tell(LINES[1])
