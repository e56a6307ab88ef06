"""The demonstration of sweeps: its environment by hand, its file, and what it counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gymnasium as gym
import pytest

from a2c.settings.compose import load_config
from a2c.sweeps.parameter import ends
from a2c.sweeps.sweep_file import read_sweep

pytest.importorskip("optuna")  # the extra a2c[sweep]
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

import long_pole
import sweep_demo
from processes import MeasurementError


def test_the_pole_is_twice_as_long_and_as_heavy() -> None:
    env = long_pole.LongPole()
    # CartPole: a pole of 2 * 0.5 m and 0.1 kg on a cart of 1 kg.
    assert (env.length, env.masspole, env.total_mass, env.polemass_length) == (1.0, 0.2, 1.2, 0.2)
    spec = gym.spec("LongPole-v1")
    assert (spec.max_episode_steps, spec.reward_threshold) == (500, 475.0)


def test_every_value_of_the_sweep_makes_a_run() -> None:
    sweep = read_sweep(sweep_demo.FILE)
    assert not any(word.startswith("env=") for word in sweep.overrides)  # it begins from the general settings
    for name, parameter in sweep.parameters.items():
        for value in ends(parameter):
            cfg = load_config(*sweep.overrides, f"{name}={value}")
            assert (cfg.stop_at, cfg.total_steps) == ("475", 100_000)


def test_a_run_that_was_trained_twice_is_noticed(tmp_path: Path) -> None:
    for name, steps in {"trial-0000-seed1": [100, 200], "trial-0001-seed1": [100, 200, 300]}.items():
        (tmp_path / name).mkdir()
        rows = [json.dumps({"global_step": step}) + "\n" for step in steps]
        (tmp_path / name / "metrics.jsonl").write_text("".join(rows))
    assert sweep_demo.trained_once(tmp_path)
    with (tmp_path / "trial-0001-seed1" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"global_step": 200}) + "\n")
    assert not sweep_demo.trained_once(tmp_path)


def test_who_does_not_get_there_counts_with_all_steps() -> None:
    told = sweep_demo.summary("x", ["env=cartpole", "total_steps=1000"], [100.0, 200.0, 1024.0])
    assert (told["steps"], told["reached"]) == ([100.0, 200.0, 1000], 2)
    assert told["mean"] == 1300 / 3
    low, high = told["interval"]
    assert 100 <= low <= told["mean"] <= high <= 1000
    with pytest.raises(MeasurementError, match="x: 1 runs failed"):
        sweep_demo.summary("x", ["env=cartpole"], [100.0, None])
