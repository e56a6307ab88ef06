"""The table of a sweep while it runs, and the line below it, from trials made by hand."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import pytest
from rich.console import Console

pytest.importorskip("optuna")  # the extra a2c[sweep]

from a2c.sweeps.live_table import best_so_far, leading, seconds_left, status_line, table_of
from a2c.sweeps.trial_watch import DONE, FAILED, PRUNED, RUNNING, Standing

NAMES = ["lr", "max_grad_norm"]


def trial(number: int, state: str = DONE, score: float | None = None, **changes: object) -> Standing:
    values = {"lr": f"0.00{number + 1}", "max_grad_norm": "0.5"}
    return Standing(**{"number": number, "values": values, "state": state, "score": score, **changes})  # type: ignore[arg-type]


TRIALS = [
    trial(0, score=10.0),
    trial(1, PRUNED, steps=120_000, total=200_000),
    trial(2, score=30.0),
    trial(3, FAILED, said="environment error: boom"),
    trial(4, score=20.0),
    trial(5, RUNNING, 12.5, steps=50_000, total=200_000),
]


def drawn(trials: Sequence[Standing], names: Sequence[str] = NAMES, *, width: int = 100, height: int = 30) -> list[str]:
    """The lines of the table."""
    screen = Console(file=io.StringIO(), width=width, color_system=None)
    screen.print(table_of(trials, names, maximize=True, width=width, height=height))
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_each_trial_is_a_line_with_its_values_score_and_the_best_so_far():
    assert [cells(line) for line in drawn(TRIALS)] == [
        ["trial", "lr", "max_grad_norm", "score", "best"],
        ["0", "0.001", "0.5", "10", "10"],
        ["1", "0.002", "0.5", "-", "10", "ended early at 120,000"],
        ["2", "0.003", "0.5", "30", "30"],
        ["3", "0.004", "0.5", "-", "30", "failed: environment error: boom"],
        ["4", "0.005", "0.5", "20", "30"],
        ["5", "0.006", "0.5", "12.5", "30", "━━━─────────", "25%"],
    ]


def test_a_trial_that_has_not_begun_to_write_has_an_empty_bar():
    assert drawn([trial(0, RUNNING)])[1].endswith("────────────   0%")


def test_values_without_room_for_columns_break_their_names_and_then_stand_in_one_column():
    names = ["lr", "max_grad_norm", "normalize_advantage"]
    trials = [trial(0, score=1.0, values={"lr": "0.001", "max_grad_norm": "0.5", "normalize_advantage": "true"})]
    assert len(drawn(trials, names, width=100)) == 2
    assert [cells(line) for line in drawn(trials, names, width=76)] == [
        ["max"],
        ["_grad", "normalize"],
        ["trial", "lr", "_norm", "_advantage", "score", "best"],
        ["0", "0.001", "0.5", "true", "1", "1"],
    ]
    narrow = drawn(trials, names, width=60)
    assert "values" in narrow[0]
    assert "lr=0.001" in narrow[1]
    assert "normalize_advantage=true" in " ".join(narrow)
    assert all(len(line) <= 60 for line in narrow)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_it_is_never_wider_or_higher_than_the_terminal(width: int):
    names = [f"a_rather_long_setting_{place}" for place in range(8)]
    values = dict.fromkeys(names, "0.000123")
    trials = [trial(number, score=float(number), values=values) for number in range(50)]
    lines = drawn(trials, names, width=width, height=20)
    assert all(len(line) <= width for line in lines)
    assert len(lines) <= 20


def test_without_room_the_running_and_the_best_stay_with_the_newest():
    trials = [trial(0, RUNNING), *(trial(number, score=100.0 - number) for number in range(1, 30)), trial(30, RUNNING)]
    assert [cells(line)[0] for line in drawn(trials, height=6)[1:]] == ["0", "1", "28", "29", "30"]


def test_less_is_better_where_that_is_the_goal():
    assert list(best_so_far(TRIALS, maximize=False).values()) == [10.0] * 6
    assert leading(TRIALS, maximize=False) is TRIALS[0]
    assert leading(TRIALS, maximize=True) is TRIALS[2]
    assert leading(TRIALS[1:2], maximize=True) is None
    assert list(best_so_far(TRIALS[5:], maximize=True).values()) == [None]  # a running trial has no score yet


def test_the_line_says_how_far_the_sweep_is():
    assert status_line("lunar", TRIALS, 30, 3720.0, maximize=True) == (
        "lunar  5 of 30 trials  1 running  1 ended early  1 failed  best 30 (trial 2)  eta 1h02m"
    )
    assert status_line("lunar", [], None, None, maximize=True) == "lunar  0 trials  eta -"


def test_the_rest_takes_as_long_as_what_this_session_did():
    # 4.5 trials done, 2 of them before: 2.5 in 50 s; 5.5 are left
    assert seconds_left(2.0, 4.5, 50.0, 10, math.inf) == pytest.approx(5.5 * 50 / 2.5)
    assert seconds_left(2.0, 4.5, 50.0, 10, 7.0) == 7.0  # the hours are over before
    assert seconds_left(2.0, 4.5, 50.0, None, 7.0) == 7.0
    assert seconds_left(2.0, 2.0, 50.0, 10, math.inf) is None
    assert seconds_left(2.0, 4.5, 50.0, None, math.inf) is None
    assert seconds_left(0.0, 10.0, 50.0, 10, math.inf) == 0.0


def test_a_trial_is_done_by_the_share_of_its_steps():
    assert trial(0, RUNNING, steps=50, total=200).share == 0.25
    assert trial(0, RUNNING, steps=210, total=200).share == 1.0
    assert trial(0, RUNNING).share == 0.0
    assert trial(0, PRUNED, steps=50, total=200).share == 1.0
