"""The ``a2c`` command: what it prints, what it makes, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import a2c
from a2c import cli
from a2c.cli import completion
from a2c.errors import CheckpointError, ConfigError, EnvironmentFailure, NumericError, RunIOError
from a2c.settings.compose import presets
from a2c.settings.config import Config
from a2c.settings.setting import settings


@dataclass
class Trainer:
    """Stands in for ``a2c.api.train_in``: notes its runs, and ends them as told."""

    runs: list[tuple[Config, Path]] = field(default_factory=list)
    error: BaseException | None = None
    stopped: str | None = None

    def train_in(self, cfg: Config, folder: Path, network: Any = None, on_report: Any = None) -> types.SimpleNamespace:
        self.runs.append((cfg, folder))
        if self.error:
            raise self.error
        return types.SimpleNamespace(stopped=self.stopped, env_steps=0, eval_mean=None)


@pytest.fixture
def trainer(monkeypatch, tmp_path) -> Trainer:
    monkeypatch.chdir(tmp_path)
    stand_in = Trainer()
    monkeypatch.setattr("a2c.api.train_in", stand_in.train_in)
    monkeypatch.setattr("a2c.envs.look.decided", lambda cfg: cfg)  # nobody makes its environments
    monkeypatch.setattr("a2c.run.resuming.prepare_resumed", lambda *_: None)  # its runs save no checkpoint
    return stand_in


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command(arguments, capsys):
    assert cli.main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(f"a2c {name} " in shown for name in cli.COMMANDS)


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"a2c {a2c.__version__}\n"


def test_the_help_of_train_explains_every_setting_and_preset(capsys):
    assert cli.main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    for key, _, rule in settings(Config):
        assert re.search(rf"^  {re.escape(key)}=\S", shown, re.MULTILINE), key
        assert rule.doc.split()[0] in shown
    assert all(f"env={name}" in shown for name in presets())


@pytest.mark.parametrize("command", ["eval", "watch"])
def test_other_commands_explain_their_settings(command, capsys):
    assert cli.main([command, "--help"]) == 0
    assert "  run=latest " in capsys.readouterr().out


ENDINGS = {
    "trian": "config error: unknown command 'trian'; did you mean 'a2c train'?",
    "n_step=8": "config error: unknown command 'n_step=8'; did you mean 'a2c train n_step=8'?",
    "train gama=1": "config error: unknown key 'gama'; did you mean 'gamma'?",
    "train --n_step=8": "config error: unknown option '--n_step=8'; settings have no dashes: n_step=8",
    "train --cfg everything": "config error: argument -c/--cfg: invalid choice",
    "train -m --cfg job seed=1,2": "config error: -m trains; leave it out to see the settings (--cfg) or how they ",
    "train -m seed=1,2,x": "config error: seed='x' must be a whole number (int)",
    "train -m lr=interval(1,3)": "config error: lr=interval(1,3): -m trains with lists, like 1,2,3, and ",
    "train -cd nowhere": "config error: config folder ",
    "eval episode=3": "config error: unknown key 'episode'; did you mean 'episodes'?",
    "eval episodes=0": "config error: episodes=0 must be >= 1",
    "eval -m seed=1,2": "config error: a2c eval has no -m",
    "watch render=window": "config error: render='window' must be one of gif, human",
}


@pytest.mark.parametrize("line", ENDINGS)
def test_a_mistake_ends_in_one_line_and_exit_code_2(line, capsys, trainer):
    assert cli.main(line.split(" ")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(ENDINGS[line])
    assert err.count("\n") == 1
    assert not trainer.runs
    assert list(Path().iterdir()) == []  # and leaves nothing behind


def test_a_traceback_is_shown_to_those_who_ask(capsys, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert cli.main(["train", "gama=1"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_run_gets_its_config_and_a_folder_with_its_record(trainer):
    assert cli.main(["train", "env=pendulum", "n_step=9", "name=mine"]) == 0
    ((cfg, folder),) = trainer.runs
    assert cfg == a2c.load_config("env=pendulum", "n_step=9", "name=mine")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_mine", folder.name)
    assert folder.parent == Path("runs/Pendulum-v1").resolve()
    assert (folder / ".hydra" / "overrides.yaml").read_text() == "- env=pendulum\n- n_step=9\n- name=mine\n"
    assert "training Pendulum-v1" in (folder / "train.log").read_text()


def test_options_and_settings_come_in_any_order(trainer):
    assert cli.main(["train", "n_step=9", "-m", "seed=1,2", "lr=0.1,0.2"]) == 0
    assert [(cfg.seed, cfg.lr) for cfg, _ in trainer.runs] == [(1, 0.1), (1, 0.2), (2, 0.1), (2, 0.2)]


def test_every_job_of_a_multirun_has_its_own_folder(trainer):
    assert cli.main(["train", "-m", "env.id=Any-v0,Other-v0", "seed=1,1"]) == 0
    folders = [folder for _, folder in trainer.runs]
    assert len(set(folders)) == 4
    assert {folder.parent.name for folder in folders} == {"Any-v0", "Other-v0"}
    assert all(cfg.num_envs == a2c.load_config("env.id=Any-v0").num_envs for cfg, _ in trainer.runs)


def test_a_failed_job_does_not_stop_the_others_but_is_not_forgotten(trainer, capsys):
    trainer.error = NumericError("boom")
    assert cli.main(["train", "-m", "seed=1,2"]) == 4
    assert len(trainer.runs) == 2
    said = "2 of 2 runs failed: run 1 seed=1 (exit code 4), run 2 seed=2 (exit code 4)\n"
    assert capsys.readouterr().err == "numeric error: boom\n" * 2 + said


def test_a_signal_stops_a_whole_multirun(trainer):
    trainer.stopped = "SIGTERM"
    assert cli.main(["train", "-m", "seed=1,2"]) == 143
    assert len(trainer.runs) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (EnvironmentFailure("x"), 3),
        (NumericError("x"), 4),
        (CheckpointError("x"), 5),
        (RunIOError("x"), 6),
    ],
)
def test_every_kind_of_error_has_its_exit_code_and_one_line(trainer, capsys, error, code):
    trainer.error = error
    assert cli.main(["train"]) == code
    assert capsys.readouterr().err == f"{error}\n"


def test_an_environment_error_shows_the_traceback_that_it_carries(trainer, capsys):
    trainer.error = EnvironmentFailure("environment 3 raised ValueError")
    trainer.error.add_note("Traceback (most recent call last):\n  ...\nValueError: 100 % wrong")
    assert cli.main(["train"]) == 3
    assert capsys.readouterr().err.splitlines() == [
        "environment error: environment 3 raised ValueError",
        "Traceback (most recent call last):",
        "  ...",
        "ValueError: 100 % wrong",
    ]


def test_a_failure_is_kept_in_the_log_of_the_run(trainer):
    trainer.error = NumericError("boom")
    cli.main(["train"])
    assert "NumericError: numeric error: boom" in (trainer.runs[0][1] / "train.log").read_text()


@pytest.mark.parametrize(
    ("stopped", "code"), [(None, 0), ("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 143), ("SIGHUP", 129)]
)
def test_a_signal_that_ended_the_run_is_the_exit_code(trainer, stopped, code):
    trainer.stopped = stopped
    assert cli.main(["train"]) == code


def test_an_interrupt_anywhere_is_130_and_no_traceback(trainer, capsys):
    trainer.error = KeyboardInterrupt()
    assert cli.main(["train"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_folder_that_cannot_be_made_is_an_io_error(trainer, capsys):
    Path("runs").write_text("a file")
    assert cli.main(["train"]) == 6
    assert capsys.readouterr().err.startswith("i/o error: cannot make the run folder runs/CartPole-v1/")


def test_a_resumed_run_goes_on_in_its_folder_with_its_settings(trainer):
    cli.main(["train", "env=acrobot", "seed=5", "lr=0.5"])
    first, folder = trainer.runs[0]
    assert cli.main(["train", f"resume={folder}", "total_steps=9"]) == 0
    second, same = trainer.runs[1]
    assert same == folder
    assert (second.env, second.seed, second.lr, second.total_steps) == (first.env, 5, 0.5, 9)


@pytest.mark.parametrize("override", ["env=cartpole", "env.id=Any-v0"])
def test_the_composed_config_is_shown_without_making_a_run(override, capsys, trainer):
    assert cli.main(["train", "--cfg", "job", override]) == 0
    assert f"id: {a2c.load_config(override).env.id}\n" in capsys.readouterr().out
    assert list(Path().iterdir()) == []
    assert not trainer.runs


def test_presets_of_ones_own_are_read_from_a_folder(trainer):
    Path("mine/env").mkdir(parents=True)
    Path("mine/env/maze.yaml").write_text("# @package _global_\nenv:\n  id: Maze-v0\ngamma: 0.5\n")
    assert cli.main(["train", "-cd", "mine", "env=maze"]) == 0
    assert (trainer.runs[0][0].env.id, trainer.runs[0][0].gamma) == ("Maze-v0", 0.5)


def test_a_sweep_agent_may_not_import_code_unless_told_so(trainer, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    assert cli.main(["train", "env.id=some_package:Env-v0"]) == 2
    assert "set A2C_ALLOW_SWEEP_CODE=1" in capsys.readouterr().err
    monkeypatch.setenv("A2C_ALLOW_SWEEP_CODE", "1")
    assert cli.main(["train", "env.id=some_package:Env-v0"]) == 0


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("a2c ", "train eval watch"),
        ("a2c tr", "train eval watch"),
        ("a2c train n_st", "n_step="),
        ("a2c train env=p", "env=pendulum env=pong"),
        ("a2c eval ep", "episodes="),
    ],
)
def test_completion_knows_commands_settings_and_presets(line, offered, monkeypatch, capsys):
    monkeypatch.setenv("COMP_LINE", line)
    assert completion.complete(["query=bash"]) == 0
    assert set(offered.split()) <= set(capsys.readouterr().out.split())


def test_completion_installs_itself_for_the_command(capsys):
    assert cli.main(["-sc", "install=bash"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("-F hydra_bash_completion a2c")


def test_python_train_keeps_the_record_of_its_run(trainer):
    a2c.train(a2c.load_config("env=acrobot", "seed=3"))
    cfg, folder = trainer.runs[0]
    assert folder.parts[:2] == ("runs", "Acrobot-v1")
    assert a2c.load_config(f"resume={folder}").seed == 3
    a2c.train(a2c.load_config(f"resume={folder}"))
    assert trainer.runs[1][1] == folder.resolve()
    assert cfg.env.id == trainer.runs[1][0].env.id


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    with (cwd / "out").open("w") as out, (cwd / "err").open("w") as err:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "a2c", *arguments], cwd=cwd, stdout=out, stderr=err, timeout=600
        )
    return subprocess.CompletedProcess(done.args, done.returncode, (cwd / "out").read_text(), (cwd / "err").read_text())


def test_a_mistake_in_a_real_process(tmp_path):
    done = run("train", "gamma=1.5", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "config error: gamma=1.5 must be in [0, 1]\n")


@pytest.mark.slow
def test_what_a_real_process_trained_can_be_scored_and_watched(tmp_path, monkeypatch, capsys):
    quick = ["total_steps=200", "eval.episodes=1", "eval.final_episodes=1", "gif=false", "wandb.mode=disabled"]
    done = run("train", "vectorization=sync", *quick, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    monkeypatch.chdir(tmp_path)
    summary = json.loads(Path("runs/latest/summary.json").read_text())
    assert summary["env_steps"] >= 200
    assert Path(summary["best_checkpoint"]).resolve().is_relative_to(tmp_path / "runs" / "CartPole-v1")
    assert cli.main(["eval", "episodes=2"]) == 0
    assert re.search(r"^score [\d.]+ \+- [\d.]+ over 2 episodes", capsys.readouterr().out, re.MULTILINE)
    assert cli.main(["watch", "output=seen.gif"]) == 0
    assert Path("seen.gif").read_bytes()[:4] == b"GIF8"


def test_a_closed_pipe_is_no_error(tmp_path):
    command = f"{sys.executable} -m a2c train --help | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=600, env=dict(os.environ))
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""
