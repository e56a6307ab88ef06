"""What earlier versions wrote keeps working, and one line says what it is called now."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import a2c
from a2c.cli import main
from a2c.errors import ConfigError
from a2c.settings import notices
from a2c.settings.compose import load_config
from a2c.settings.old_values import translated
from a2c.storage.checkpoint import load_checkpoint
from a2c.storage.metrics_file import read_rows

OLD_RUN = Path(__file__).parents[1] / "fixtures" / "run_of_0_1"  # of version 0.1: vectorization=hybrid, compile=auto
OLD_DEVICE_ID, NEW_DEVICE_ID = "a2c.device_envs:CartPoleDevice-v1", "a2c.envs.device:CartPoleDevice-v1"


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_told", set())


@pytest.fixture
def old_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "CartPole-v1" / "2026-11-25_15-39-57_before"
    shutil.copytree(OLD_RUN, run)
    return run


LATER = {"isolate": False, "restarts": 3, "channels": "auto", "masks": "off"}  # what came after version 0.1


@pytest.mark.parametrize(
    ("old", "now", "line"),
    [
        (
            {"vectorization": "sharded"},
            {"vectorization": "workers", "main_shard": False},
            "vectorization=sharded is now vectorization=workers main_shard=false",
        ),
        (
            {"vectorization": "hybrid"},
            {"vectorization": "workers", "main_shard": True},
            "vectorization=hybrid is now vectorization=workers main_shard=true",
        ),
        ({"compile": "auto"}, {"compile": False}, "compile=auto is now compile=false"),
        ({"compile": "true"}, {"compile": True}, None),
        ({"compile": "false"}, {"compile": False}, None),
        (
            {"vectorization": "sharded", "main_shard": True},
            {"vectorization": "workers", "main_shard": True},
            "vectorization=sharded is now vectorization=workers main_shard=true",
        ),
        ({"vectorization": "sync"}, {"vectorization": "sync", "main_shard": None}, None),
        ({"eval": {"every": 5}}, {"eval": {"every": 5, "apart": "auto", "max_steps": 10_000}}, None),
        ({"eval": {"apart": "true", "max_steps": 7}}, {"eval": {"apart": "true", "max_steps": 7}}, None),
        (
            {"env": {"id": OLD_DEVICE_ID, "kwargs": {}}},
            {
                "env": {
                    "id": NEW_DEVICE_ID,
                    "kwargs": {},
                    "isolate": False,
                    "restarts": 3,
                    "channels": "auto",
                    "symbols": None,
                    "masks": "off",
                    "wrappers": [],
                    "reset_options": {},
                }
            },
            None,
        ),
    ],
    ids=str,
)
def test_an_old_value_means_what_it_meant(old: dict[str, Any], now: dict[str, Any], line: str | None) -> None:
    told: list[str] = []
    found = translated(old, told.append)
    assert {key: found[key] for key in now} == now
    if line is not None:
        assert told == [line]


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [("vectorization=hybrid", "vectorization", "workers"), ("compile=auto", "compile", False)],
)
def test_the_command_line_takes_old_values_and_says_so_once(
    override: str, key: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert getattr(load_config("env=cartpole", override), key) == value
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"{override} is now ")


def test_a_wrong_value_is_still_an_error() -> None:
    with pytest.raises(ConfigError, match="vectorization='shared' must be one of auto, workers, async, sync, native"):
        load_config("vectorization=shared")
    with pytest.raises(ConfigError, match="compile='maybe' must be true or false"):
        load_config("compile=maybe")


def test_the_device_environment_is_found_by_its_old_name_too() -> None:
    assert gym.make_vec(OLD_DEVICE_ID, num_envs=2, vectorization_mode="vector_entry_point").num_envs == 2
    assert load_config(f"env.id={OLD_DEVICE_ID}", "vectorization=device").env.id == NEW_DEVICE_ID


def test_an_old_checkpoint_loads_and_is_evaluated(old_run: Path) -> None:
    policy = a2c.load_policy(old_run)
    assert policy.cfg.vectorization == "workers"
    assert policy.cfg.main_shard is True
    assert policy.cfg.compile is False
    assert policy.env_steps == 1024
    scores = a2c.evaluate(policy, 3)
    # what version 0.1 wrote into its summary.json: 45.0 +- 10.614455552060438
    assert (scores.mean, scores.std) == pytest.approx((45.0, 10.614455552060438))
    assert main(["eval", f"run={old_run}", "episodes=2"]) == 0


def test_an_old_run_goes_on_in_its_folder(old_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = read_rows(old_run / "metrics.jsonl")
    saved = load_checkpoint(old_run / "checkpoints" / "last.pt")
    assert main(["train", f"resume={old_run}", "total_steps=3000"]) == 0
    rows, now = read_rows(old_run / "metrics.jsonl"), load_checkpoint(old_run / "checkpoints" / "last.pt")
    assert rows[: len(before)] == before
    assert rows[-1]["global_step"] >= 3000
    assert now["state"]["update"] > saved["state"]["update"]
    assert now["state"]["episodes"] > saved["state"]["episodes"]
    assert now["state"]["wall_time"] > saved["state"]["wall_time"]
    assert {key: type(value) for key, value in now.items()} == {key: type(value) for key, value in saved.items()}
    assert now["state"].keys() == saved["state"].keys() | {"ended"}
    assert now["learner"].keys() == saved["learner"].keys() | {"metrics"}
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "vectorization=hybrid is now vectorization=workers main_shard=true",
        "compile=auto is now compile=false",
    ]
    assert "resumed after 2,016 steps" in said.out


def test_a_resumed_run_takes_another_old_value_as_it_is_meant(old_run: Path) -> None:
    cfg = load_config(f"resume={old_run}", "vectorization=sharded")
    assert (cfg.vectorization, cfg.main_shard) == ("workers", False)  # although the run had hybrid


def test_a_checkpoint_of_today_has_the_keys_of_version_0_1(old_run: Path) -> None:
    saved = load_checkpoint(old_run / "checkpoints" / "last.pt")
    assert set(saved) == {"format", "config", "spec", "learner", "collector", "state", "wandb_id"}
    assert set(saved["state"]) == {"env_steps", "update", "episodes", "best_eval", "wall_time"}
