"""The best settings as a preset: the file composes to what the best trial was trained with."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from a2c.settings.compose import compose_plain, load_config, prepare_training, to_config
from a2c.settings.config import Config
from a2c.sweeps.best_preset import Preset, write_preset


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("found").mkdir()


def preset(*overrides: str, **reasons: str) -> Preset:
    return write_preset(overrides, ["The sweep x found it."], reasons, Path("found"))


def trained_by(command: str) -> Config:
    """The settings that a printed command gives."""
    start, place, overrides = command.split(" ", 2)[:2], "found", shlex.split(command)[4:]
    assert start == ["a2c", "train"]
    assert shlex.split(command)[2:4] == ["--config-dir", place]
    folder = Path(place).resolve()
    return to_config(compose_plain("config", prepare_training(overrides, folder), folder))


def training(cfg: Config) -> dict[str, object]:
    """The settings that change what is learned."""
    aside = {
        "seed",
        "name",
        "runs_dir",
        "resume",
        "gif",
        "profile",
        "log_every",
        "wandb",
        "checkpoint",
        "device",
        "threads",
    }
    return {key: value for key, value in asdict(cfg).items() if key not in aside}


@pytest.mark.parametrize(
    "overrides",
    [
        ["env=lunarlander", "lr=0.00141", "lr_schedule=linear", "beta=1e-05"],
        ["env=pendulum", "max_grad_norm=null", "network.hidden_sizes=[32,32]", "eval.every=4000"],
        ["env.id=MyOwn-v0", "env.kwargs.size=5", "env.kwargs.colour='a: #b'", "stop_at=475"],
        ["env=cartpole", "algo=ac", "n_step=3", "lr=0.01"],  # algo=ac says n_step=1, and it comes after env=
        ["env=cartpole", "algo=a3c", "num_workers=2"],
        ["env=cartpole", "beta_schedule=[[0,1.0],[1,0.5]]"],
    ],
    ids=" ".join,
)
def test_its_command_trains_with_the_same_settings(overrides: list[str]):
    made = preset(*overrides)
    assert made.path == Path("found/env/best.yaml")
    assert training(trained_by(made.command)) == training(load_config(*overrides))


def test_it_is_a_delta_with_reasons_under_the_two_lines_of_every_preset():
    made = preset("env=cartpole", "lr=0.0007", "num_envs=8", lr="from 0.0001 to 0.1; importance 61%")
    lines = made.path.read_text().splitlines()
    assert lines[:3] == [
        "# @package _global_", "# a2c train --config-dir found env=best", "# The sweep x found it.",
    ]  # fmt: skip
    assert "lr: 0.0007  # from 0.0001 to 0.1; importance 61%" in lines  # although conf/config.yaml says the same
    assert not any(line.startswith("gamma") for line in lines)  # nobody changed it
    assert made.command == "a2c train --config-dir found env=best"


def test_what_names_shows_or_keeps_a_run_is_left_out():
    text = preset(
        "env=cartpole", "seed=7", "gif=false", "wandb.tags=[a]", "checkpoint.keep=1", "threads=1"
    ).path.read_text()
    assert not set(yaml.safe_load(text)) & {"seed", "gif", "wandb", "checkpoint", "threads"}


def test_secrets_are_asked_for_again():
    made = preset("env=cartpole", "env.kwargs.api_key=hidden-thing", "env.kwargs.size=3")
    assert "hidden-thing" not in made.path.read_text()
    assert "redacted" not in made.path.read_text()
    assert made.command.endswith(" env=best env.kwargs.api_key=...")
    assert yaml.safe_load(made.path.read_text())["env"] == {"id": "CartPole-v1", "kwargs": {"size": 3}}
