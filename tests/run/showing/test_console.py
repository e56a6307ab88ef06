"""What a run shows: live in a terminal, plain lines elsewhere, and never the end of a run."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from a2c.run.showing import console_text as words
from a2c.run.showing.console import Console
from a2c.run.showing.figures import duration, number
from a2c.run.showing.next_commands import next_commands
from a2c.settings.compose import load_config
from a2c.settings.config import Config
from screens import OF_TERMINALS, Screen

ROW = {
    "rollout/ep_rew_mean": 123.45,
    "rollout/ep_len_mean": 99.0,
    "train/entropy": 0.5,
    "train/value_loss": 12.25,
    "train/explained_variance": 0.875,
    "time/fps": 4321.0,
    "time/env_frac": 0.6,
    "time/transfer_frac": 0.001,
    "time/act_frac": 0.199,
    "time/update_frac": 0.1,
    "time/eval_frac": 0.08,
    "time/other_frac": 0.02,
}
SUMMARY: dict[str, Any] = {
    "env_id": "CartPole-v1",
    "env_steps": 200_000,
    "episodes": 1204,
    "wall_time": 43.2,
    "fps": 4629.1,
    "eval_mean": 498.2,
    "eval_std": 3.1,
    "best_step": 40_000,
    "eval_episodes": 20,
    "reward_threshold": 475.0,
    "solved": True,
    "folder": "runs/CartPole-v1/one",
    "best_checkpoint": "runs/CartPole-v1/one/checkpoints/best.pt",
    "curve": "runs/CartPole-v1/one/curve.png",
    "gif": None,
    "stopped": None,
    "wandb_id": "abc",
    "time": {"env": 0.6, "transfer": 0.001, "act": 0.199, "update": 0.1, "eval": 0.08, "other": 0.02},
    "advice": ["environment-bound (60%): more cores", "evaluation takes long"],
    "trace": None,
}


@pytest.fixture
def cfg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    return load_config("env=cartpole", "total_steps=200_000")


@pytest.fixture
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in OF_TERMINALS:
        monkeypatch.delenv(name, raising=False)
    screen = Screen(getattr(request, "param", 80))
    yield screen
    screen.close()


def show(console: Console, summary: dict[str, Any] = SUMMARY) -> None:
    """A short run from start to end."""
    console.start({"device": "cpu", "run": "runs/CartPole-v1/one"})
    console.progress(5000, {})
    console.row(10_000, ROW)
    console.note("saved [best] checkpoint")
    console.row(20_000, ROW | {"eval/mean_reward": 475.25, "eval/std_reward": 12.0})
    console.finish(summary)
    console.close()


def words_of(text: str) -> list[str]:
    return text.split()


def test_without_a_terminal_every_fact_is_a_plain_line(cfg: Config) -> None:
    stream = io.StringIO()
    show(Console(cfg, stream=stream))
    text = stream.getvalue()
    assert "\x1b" not in text
    assert "\r" not in text
    assert text.isascii() or "±" in text
    lines = text.splitlines()
    assert lines[:3] == ["a2c  CartPole-v1", "  device  cpu", "  run     runs/CartPole-v1/one"]
    assert lines[3].split() == words_of(
        "steps time steps/s return length entropy v loss expl var env copy act upd eval"
    )
    assert lines[4].split() == words_of("10,000 0s 4,321 123.5 99.0 0.500 12.250 0.88 60% 0% 20% 10%")
    assert lines[5] == "saved [best] checkpoint"
    assert lines[6].split()[-2:] == ["475.2", "±12.0"]
    assert len({len(lines[3]), len(lines[6])}) == 1  # right-aligned under the header
    assert lines[7] == "CartPole-v1  SOLVED"


def test_the_end_says_what_was_reached_where_it_is_and_what_to_type(cfg: Config) -> None:
    stream = io.StringIO()
    show(Console(cfg, stream=stream))
    end = stream.getvalue().split("CartPole-v1  SOLVED\n")[1].splitlines()
    assert end == [
        "  score    498.2 ± 3.1 over 20 episodes, threshold 475: SOLVED",
        "           score of the best checkpoint (step 40,000)",
        "  trained  200,000 steps, 1,204 episodes in 43s (4,629 steps/s)",
        "  time     env 60%, act 20%, update 10%, evaluation 8%, other 2%",
        "  advice   environment-bound (60%): more cores",
        "           evaluation takes long",
        "  run      runs/CartPole-v1/one",
        "  files    curve.png  checkpoints/best.pt",
        "  next     a2c watch run=runs/CartPole-v1/one",
        "           a2c eval run=runs/CartPole-v1/one episodes=100",
        "           wandb leet runs/wandb",
    ]


def test_the_newest_run_is_called_latest_and_a_checkout_has_make(cfg: Config, tmp_path: Path) -> None:
    (tmp_path / "runs/CartPole-v1/one").mkdir(parents=True)
    (tmp_path / "runs/latest").symlink_to("CartPole-v1/one")
    (tmp_path / "Makefile").write_text("board: $(READY)\n")
    commands = [command for command, _ in next_commands(SUMMARY | {"stopped": "SIGINT"}, cfg)]
    assert commands == [
        "a2c train resume=latest",
        "a2c watch run=latest",
        "a2c eval run=latest episodes=100",
        "make board",
    ]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"solved": False}, "threshold 475: not solved"),
        ({"solved": None, "reward_threshold": None}, "498.2 ± 3.1 over 20 episodes (no threshold is registered)"),
        ({"solved": None, "eval_mean": None, "eval_std": None}, "not evaluated"),
    ],
)
def test_the_score_line_is_clear_about_the_threshold(change: dict[str, Any], text: str) -> None:
    score = dict(words.outcome(SUMMARY | change))["score"]
    assert score.endswith(text)


def test_the_end_says_which_network_the_score_is_of(cfg: Config) -> None:
    stream = io.StringIO()
    show(Console(cfg, stream=stream))
    assert re.search(r"score +498.2 ± 3.1 over .*\n +score of the best checkpoint \(step 40,000\)\n", stream.getvalue())
    assert not [text for _, text in words.outcome(SUMMARY | {"eval_mean": None}) if "best checkpoint" in text]


def test_a_stopped_run_names_the_signal(cfg: Config) -> None:
    stream = io.StringIO()
    change = {"stopped": "SIGTERM", "solved": None, "eval_mean": None, "curve": None}
    show(Console(cfg, stream=stream), SUMMARY | change)
    assert "CartPole-v1  finished, stopped by SIGTERM" not in stream.getvalue()
    assert "CartPole-v1  stopped by SIGTERM\n" in stream.getvalue()


@pytest.mark.parametrize("screen", [60, 80, 120, 200], indirect=True)
def test_no_line_is_wider_than_the_terminal(cfg: Config, screen: Screen, request: pytest.FixtureRequest) -> None:
    width = request.node.callspec.params["screen"]
    show(Console(cfg, stream=screen.stream))
    lines = screen.lines()
    assert max(map(len, lines)) <= width
    header = next(line for line in lines if "steps/s" in line and "return" in line and "%" not in line)
    assert ("v loss" in header) == (width >= 80)
    for share in ("env", "copy", "act", "upd"):  # together or not at all
        assert (share in header) == (width >= 100)
    assert header.split()[-1] == "eval"


def test_the_cursor_is_hidden_while_the_bar_lives_and_given_back(cfg: Config, screen: Screen) -> None:
    console = Console(cfg, stream=screen.stream)
    console.start({})
    console.progress(50_000, ROW)
    assert "25%" in screen.lines()[-1]
    assert "\x1b[?25l" in screen.raw
    assert "\x1b[?25h" not in screen.raw
    console.close()
    console.close()
    assert screen.read().count("\x1b[?25h") == 1


def test_an_exception_leaves_a_clean_terminal(cfg: Config, screen: Screen) -> None:
    def interrupted() -> None:
        with contextlib.closing(Console(cfg, stream=screen.stream)) as console:
            console.start({})
            console.progress(50_000, ROW)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert screen.read().count("\x1b[?25h") == 1


def test_the_bar_is_redrawn_at_most_every_quarter_of_a_second(
    cfg: Config, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("a2c.run.showing.console.time.monotonic", lambda: now[0])
    console = Console(cfg, stream=screen.stream)
    drawn = []
    monkeypatch.setattr(console, "_draw", lambda: drawn.append(now[0]))
    console.start({})
    for step in range(100):
        now[0] = step / 20  # 20 calls a second for 5 seconds
        console.progress(step, {})
    console.close()
    assert len(drawn) == 20
    assert sys.stdout is not None  # the bar's redirection of output has ended


def test_a_notebook_has_the_plain_lines_with_the_bar_below_them(cfg: Config) -> None:
    kind = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})  # what print writes to in one
    notebook, file = kind(), io.StringIO()
    console = Console(cfg, stream=notebook)
    console.start({"steps": "100"})
    console.progress(50, ROW)
    console.row(50, ROW)
    console.progress(60, ROW)  # too soon
    console.note("a line")
    console.evaluating(0, 5)
    console.close()
    show(Console(cfg, stream=file))
    bar = [part for part in notebook.getvalue().split("\r") if " eta " in part]
    assert len(bar) == 1
    assert "return 123" in bar[0]
    # Each line that is seen begins where the bar was wiped out, and nothing of the bar is left at the end.
    seen = [line.split("\r")[-1] for line in notebook.getvalue().split("\n")]
    assert seen[-1] == ""
    assert {"a2c  CartPole-v1", "a line"} < set(seen)
    assert not any(" eta " in line for line in seen)
    assert "\r" not in file.getvalue()


def test_what_a_program_handed_over_is_measured_in_a_program(cfg: Config) -> None:
    own = dataclasses.replace(cfg, env=dataclasses.replace(cfg.env, id="__main__:<lambda>"))
    commands = [command for command, _ in next_commands(SUMMARY | {"stopped": "SIGINT"}, own)]
    assert commands == [
        "a2c.train(a2c.load_config('resume=runs/CartPole-v1/one'), env=...)",
        "a2c.evaluate(a2c.load_policy('runs/CartPole-v1/one'), 100, env=...)",
        "wandb leet runs/wandb",
    ]


def test_no_color_means_no_colour(cfg: Config, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    show(Console(cfg, stream=screen.stream))
    codes = {code for found in re.findall(r"\x1b\[([0-9;]*)m", screen.read()) for code in found.split(";")}
    assert codes <= {"", "0", "1", "2"}  # bold and dim, no colours


def test_a_dumb_terminal_gets_plain_lines(cfg: Config, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    show(Console(cfg, stream=screen.stream))
    assert "\x1b" not in screen.read()
    assert "╭" not in screen.raw


def test_a_stream_that_cannot_hold_every_sign_gets_what_it_can(cfg: Config) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show(Console(cfg, stream=stream))
    stream.seek(0)
    assert "498.2 ? 3.1 over 20 episodes" in stream.read()


def test_the_users_own_metrics_get_columns_with_the_first_row_that_has_them(cfg: Config) -> None:
    out = io.StringIO()
    console = Console(cfg, stream=out)
    console.row(2000, ROW)
    own = {"episode/success": 0.25, "callback/level": 3.0, "callback/third": 9.0}
    console.row(4000, ROW | own)
    console.row(6000, ROW)
    first, _, second, values, without = out.getvalue().splitlines()
    assert "success" not in first
    assert second.split()[-3:] == ["success", "level", "eval"]  # in the place of the shares of time; two of them
    assert values.split()[-2:] == ["0.250", "3.000"]
    assert without.split()[-2:] == ["-", "-"]
    assert max(map(len, out.getvalue().splitlines())) <= 100


def test_the_end_says_why_it_came_early(cfg: Config) -> None:
    assert ("ended", "good enough") in words.outcome(SUMMARY | {"ended": "good enough"})
    assert "ended" not in dict(words.outcome(SUMMARY))


def test_a_reader_that_leaves_does_not_end_the_run(cfg: Config) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = open(writer, "w", encoding="utf-8")  # noqa: SIM115
    show(Console(cfg, stream=stream))
    stream.close()  # its buffer goes nowhere, without an error


def test_a_terminal_that_goes_away_does_not_end_the_run(cfg: Config, screen: Screen) -> None:
    console = Console(cfg, stream=screen.stream)
    console.start({})
    os.close(screen._controller)
    for step in range(3):
        console.row(step, ROW)
    console.finish(SUMMARY)
    console.close()
    screen._controller = os.open(os.devnull, os.O_RDONLY)


def test_a_closed_stream_does_not_end_the_run(cfg: Config) -> None:
    stream = io.StringIO()
    console = Console(cfg, stream=stream)
    stream.close()
    show(console)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (187, "3m07s"), (7500, "2h05m"), (3599.7, "1h00m")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (float("nan"), "-"), (0.0, "0.0"), (-1234.5, "-1,234"), (999.94, "999.9"), (12345.6, "12,346")],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_the_narrowest_terminal_keeps_steps_return_and_eval() -> None:
    columns, gap = words.fitting(words.COLUMNS, 30, 200_000)
    assert [column.title for column in columns] == ["steps", "return", "eval"]
    assert gap == 1


def test_asynchronous_workers_show_their_lag(cfg: Config) -> None:
    assert "lag" not in [column.title for column in words.columns_of(cfg)]
    columns = words.columns_of(dataclasses.replace(cfg, algo="a3c"))
    assert [column.title for column in columns][-2:] == ["lag", "eval"]
    assert columns[-2].cell({"train/lag_mean": 2.364}) == "2.36"


def test_the_steps_column_grows_with_the_run() -> None:
    columns, _ = words.fitting(words.COLUMNS, 120, 100_000_000)
    assert columns[0].width == len("100,000,000")


@pytest.mark.parametrize(
    ("screen", "shown"),
    [(60, "  4,321 steps/s"), (80, "  env 60%  50,000/"), (120, "  env 60% act 20% update 10% eval 8%  50,000/")],
    indirect=["screen"],
)
def test_the_bar_says_where_the_time_goes_as_far_as_there_is_room(cfg: Config, screen: Screen, shown: str) -> None:
    console = Console(cfg, stream=screen.stream)
    console.start({})
    console.progress(50_000, ROW)
    bar = screen.lines()[-1]
    console.close()
    assert shown in bar
    assert bar.endswith("eta 35s")


def test_a_trace_is_named_with_what_opens_it() -> None:
    trace = dict(words.outcome(SUMMARY | {"trace": "runs/CartPole-v1/one/trace.json.gz"}))["trace"]
    assert trace == "trace.json.gz: open it at https://ui.perfetto.dev"


def test_nothing_to_advise_is_no_line() -> None:
    assert "advice" not in dict(words.outcome(SUMMARY | {"advice": []}))


def test_the_bar_shows_how_far_an_evaluation_is(cfg: Config, screen: Screen) -> None:
    console = Console(cfg, stream=screen.stream)
    console.start({})
    for ended in (0, 3, 20):
        console._next_draw = 0.0
        console.evaluating(ended, 20)
    console.close()
    shown = screen.read()
    assert "evaluating 0/20" in shown
    assert "evaluating 3/20" in shown
    assert "evaluating 20/20" not in shown  # the bar is that of training again


def test_a_log_hears_of_a_long_evaluation_now_and_then(cfg: Config) -> None:
    stream = io.StringIO()
    console = Console(cfg, stream=stream)
    for ended in range(3):
        console.evaluating(ended, 20)
    console._next_line = 0.0
    for ended in range(3, 6):
        console.evaluating(ended, 20)
    assert stream.getvalue() == "evaluated 3 of 20 episodes\n"
