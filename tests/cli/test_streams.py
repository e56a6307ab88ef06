"""Terminals that close, streams that are not there, screens that are missing: one line or none, and no traceback."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console as Terminal

import a2c
from a2c.cli import eval_progress, main
from a2c.cli.eval_progress import EvalProgress
from a2c.run.showing.console import Console

LIGHT = ["env=cartpole", "num_envs=2", "eval.every=0", "eval.episodes=1", "eval.final_episodes=1", "gif=false",
         "wandb.mode=disabled", "device=cpu", "log_every=100"]  # fmt: skip
QUICK = [*LIGHT, "vectorization=sync", "total_steps=100"]


def shell(command: str, folder: Path) -> int:
    """Exit code of a command of bash; its own output goes to ``log`` there."""
    with (folder / "log").open("w") as log:
        done = subprocess.run(["bash", "-c", command], cwd=folder, stdout=log, stderr=log, timeout=600, check=False)
    return done.returncode


@pytest.mark.parametrize(
    "closed", [*(pytest.param(one, marks=pytest.mark.long) for one in (">&-", "2>&-", ">&- 2>&-")), "<&- >&- 2>&-"]
)
def test_streams_that_are_closed_are_no_error(tmp_path: Path, closed: str) -> None:
    assert shell(f"{sys.executable} -m a2c train {' '.join(QUICK)} {closed}", tmp_path) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
    (folder,) = tmp_path.glob("runs/CartPole-v1/*")
    rows = (folder / "metrics.jsonl").read_text().splitlines()
    assert all("global_step" in json.loads(row) for row in rows)  # nothing that was said landed in a file
    assert shell(f"{sys.executable} -m a2c eval episodes=1 {closed}", tmp_path) == 0
    assert shell(f"{sys.executable} -m a2c train gamma=2 {closed}", tmp_path) == 2
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    assert shell(f"{sys.executable} -m a2c --help >/dev/full", tmp_path) == 6
    said = "i/o error: cannot write what to show: No space left on device\n"
    assert (tmp_path / "log").read_text() == said


def test_python_without_a_console_trains_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # pythonw, some services
    Console(a2c.load_config()).note("x")


@pytest.mark.parametrize("algo", ["a2c", "a3c"])
def test_a_terminal_that_closes_ends_a_run_in_order(tmp_path: Path, algo: str) -> None:
    ours, theirs = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-c", CONTROLLED, "train", *LIGHT, f"algo={algo}", "num_workers=2", "total_steps=1e9"],
        cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    try:
        deadline = time.monotonic() + 300
        os.set_blocking(ours, False)
        while not any(path.stat().st_size for path in tmp_path.glob("runs/*/*/metrics.jsonl")):
            assert run.poll() is None
            assert time.monotonic() < deadline
            drain(ours)
            time.sleep(0.02)
        os.close(ours)  # the kernel hangs up on the whole group
        assert run.wait(300) == 129
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
    (folder,) = tmp_path.glob("runs/CartPole-v1/*")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["stopped"] == "SIGHUP"
    assert (folder / "checkpoints" / "last.pt").exists()


CONTROLLED = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # this terminal is the one that the process belongs to
from a2c.cli import main
sys.exit(main())
"""


def drain(terminal: int) -> None:
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        pass


# ---- screens ----


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells whether there is a screen")
@pytest.mark.parametrize(
    ("variables", "why"),
    [({}, "neither DISPLAY nor WAYLAND_DISPLAY is set"), ({"SDL_VIDEODRIVER": "dummy"}, "SDL_VIDEODRIVER=dummy shows "),
     ({"DISPLAY": ":987"}, "")],
)  # fmt: skip
def test_a_window_without_a_screen_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, variables: dict[str, str], why: str
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("a2c.playing.loading.load_policy", lambda *_, **__: pytest.fail("it was loaded first"))
    assert main(["watch", "render=human"]) == 3
    said = capsys.readouterr().err
    assert said.startswith(f"environment error: render=human needs a screen, and there is none here: {why}")
    assert said.endswith("; leave it out for a GIF\n")
    assert said.count("\n") == 1


# ---- progress ----


def test_an_evaluation_shows_how_far_it_is_on_a_terminal() -> None:
    seen = io.StringIO()
    with EvalProgress(1000, Terminal(file=seen, force_terminal=True, width=80)) as progress:
        progress.ended(120)
    assert "120/1000" in seen.getvalue()
    assert seen.getvalue().endswith(("\x1b[2K", "\x1b[?25h"))  # nothing of it stays


def test_elsewhere_it_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    now = 0.0
    monkeypatch.setattr(eval_progress.time, "monotonic", lambda: now)
    with EvalProgress(2000) as progress:
        for ended in range(1, 2001):
            now += 0.1
            progress.ended(ended)
    lines = capsys.readouterr().err.splitlines()
    assert 5 <= len(lines) <= 7  # 200 seconds, a line every 30
    assert lines[0].startswith("evaluated 30")
    assert lines[0].endswith(" of 2,000 episodes")


def test_the_command_reports_every_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *QUICK]) == 0
    seen: list[int] = []
    monkeypatch.setattr(EvalProgress, "ended", lambda self, episodes: seen.append(episodes))
    assert main(["eval", "episodes=13"]) == 0
    assert seen == list(range(1, 14))
