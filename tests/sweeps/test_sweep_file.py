"""The file of a sweep: W&B's words are understood, or one line says which are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from a2c.errors import ConfigError
from a2c.sweeps.halving import Halving
from a2c.sweeps.sweep_file import Parameter, read_sweep

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ["${env}", "${interpreter}", "-m", "a2c", "train", "env=cartpole", "gif=false", "${args_no_hyphens}"]


def file(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "mine.yaml"
    tree = {"method": "random", "command": COMMAND, "parameters": {"lr": {"values": [0.1, 0.2]}}} | changes
    path.write_text(yaml.safe_dump({key: value for key, value in tree.items() if value is not None}))
    return path


@pytest.mark.parametrize("path", sorted((ROOT / "conf" / "sweep").glob("*.yaml")), ids=lambda path: path.stem)
def test_our_own_sweeps_are_understood(path: Path):
    sweep = read_sweep(path)
    assert sweep.name == path.stem
    assert sweep.overrides == (f"env={path.stem}", "gif=false")
    assert sweep.maximize


def test_what_a_file_says_is_what_is_searched(tmp_path: Path):
    parameters = {
        "lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2},
        "n_step": {"min": 5, "max": 20},
        "gamma": {"min": 0.9, "max": 1.0},
        "beta": {"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.25},
        "optimizer": {"values": ["adam", "rmsprop", "adam", "adam"]},
        "max_grad_norm": {"values": [None, 0.5]},
        "normalize_obs": {"value": True},
        "network.hidden_sizes": {"values": [[8, 8], [16]]},
        "name": {"values": ["true", "two words"]},
    }
    sweep = read_sweep(
        file(
            tmp_path,
            method="bayes",
            parameters=parameters,
            metric={"name": "train/loss", "goal": "minimize", "target": 0.5},
            early_terminate={"type": "hyperband", "max_iter": 12, "s": 2, "eta": 2, "strict": False},
            run_cap=7,
        )
    )
    assert sweep.parameters == {
        "lr": Parameter(low=1e-4, high=1e-2, log=True),
        "n_step": Parameter(low=5, high=20, whole=True),
        "gamma": Parameter(low=0.9, high=1.0),
        "beta": Parameter(low=0, high=1, step=0.25),
        "optimizer": Parameter(("adam", "rmsprop"), weights=(0.75, 0.25)),  # as often as it stands there
        "max_grad_norm": Parameter(("null", "0.5")),
        "normalize_obs": Parameter(("true",)),
        "network.hidden_sizes": Parameter(("[8,8]", "[16]")),
        "name": Parameter(("'true'", "'two words'")),  # text, not a truth
    }
    assert (sweep.name, sweep.metric, sweep.maximize, sweep.cap) == ("mine", "train/loss", False, 7)
    assert sweep.target == 0.5
    assert sweep.halving == Halving((3, 6), 2, strict=False)


def test_without_a_metric_the_score_is_maximised(tmp_path: Path):
    sweep = read_sweep(file(tmp_path))
    assert (sweep.metric, sweep.maximize, sweep.target) == ("eval/mean_reward", True, None)


def test_what_changes_nothing_here_may_stand_there(tmp_path: Path):
    aside = {
        "project": "mine", "entity": "us", "description": "for the paper", "program": "train.py",
        "controller": {"type": "local"}, "kind": "sweep", "apiVersion": "1",
    }  # fmt: skip
    assert read_sweep(file(tmp_path, **aside)) == read_sweep(file(tmp_path))


def test_a_grid_takes_every_number_of_a_range(tmp_path: Path):
    parameters = {"n_step": {"min": 5, "max": 7}, "lr": {"values": [0.1, 0.2, 0.1]}}
    sweep = read_sweep(file(tmp_path, method="grid", parameters=parameters))
    assert {name: parameter.choices for name, parameter in sweep.parameters.items()} == {
        "n_step": ("5", "6", "7"),
        "lr": ("0.1", "0.2"),
    }


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"parameter": {}}, "parameter is not understood here; did you mean 'parameters'?"),
    "unknown method": ({"method": "grids"}, "method=grids must be one of grid, random, bayes"),
    "unknown goal": ({"metric": {"goal": "max"}}, "metric.goal=max must be maximize or minimize"),
    "nothing to search": ({"parameters": {}}, "parameters are missing"),
    "a list": ({"parameters": ["lr"]}, "parameters must be a mapping"),
    "grid of a range": ({"method": "grid", "parameters": {"lr": {"min": 1.0, "max": 2}}}, "parameters.lr is a range"),
    "a grid without end": (
        {"method": "grid", "parameters": {"seed": {"min": 1, "max": 200}, "n_step": {"min": 1, "max": 100}}},
        "method=grid: 20,000 combinations are too many; method random draws some of them",
    ),
    "no values": ({"parameters": {"lr": {"values": []}}}, "parameters.lr.values must be a list of values"),
    "half a range": ({"parameters": {"lr": {"min": 0.1}}}, "parameters.lr.max is missing: distribution uniform"),
    "a range upside down": ({"parameters": {"lr": {"min": 2, "max": 1}}}, "min must be less than max"),
    "log of nothing": (
        {"parameters": {"lr": {"distribution": "log_uniform_values", "min": 0, "max": 1}}}, "and more than 0",
    ),
    "no distribution": ({"parameters": {"lr": {"distribution": "gauss"}}}, "distribution=gauss must be one of"),
    "mu": ({"parameters": {"lr": {"min": 0.1, "max": 1, "mu": 0}}}, "parameters.lr.mu is not understood here"),
    "nothing": ({"parameters": {"lr": {}}}, "parameters.lr says no values; give value, values, or min and max"),
    "twice": (
        {"parameters": {"network.memory_size": {"value": 1}, "network": {"parameters": {"memory_size": {"value": 2}}}}},
        "parameters.network.memory_size stands there twice",
    ),
    "no goal": ({"metric": {"name": "x"}}, "metric.goal is missing; say goal: maximize or goal: minimize"),
    "no such target": ({"metric": {"goal": "maximize", "target": "all"}}, "metric.target=all must be a number"),
    "impute": ({"metric": {"goal": "maximize", "impute": "worst"}}, "metric.impute is for W&B's own search"),
    "a scheduler": ({"scheduler": {"engine": "optuna"}}, "scheduler is not for a2c sweep: it names a search of W&B's"),
    "two metrics": ({"metrics": []}, "metrics is not for a2c sweep: a sweep has one metric here"),
    "a job": ({"job": "x"}, "job is not for a2c sweep: W&B Launch starts runs elsewhere"),
    "no command": ({"command": None}, "command must be a list"),
    "a flag": ({"command": [*COMMAND, "-m"]}, "command: -m is no setting"),
    "a resumed run": ({"command": [*COMMAND, "resume=latest"]}, "command: resume=latest is no setting"),
    "Hydra's": ({"command": [*COMMAND, "hydra/launcher=x"]}, "hydra/launcher=x is not for a sweep"),
    "a secret": ({"parameters": {"name": {"values": ["${oc.env:KEY}"]}}}, "is not for a sweep"),
    "another end": ({"early_terminate": {"type": "median"}}, "early_terminate.type=median must be hyperband"),
    "no bands": ({"early_terminate": {"type": "hyperband", "eta": 2}}, "needs min_iter, or max_iter and s"),
    "bands below one": (
        {"early_terminate": {"type": "hyperband", "max_iter": 2, "s": 1, "eta": 3}}, "no band is left",
    ),
    "strict": ({"early_terminate": {"type": "hyperband", "min_iter": 1, "strict": 1}}, "strict=1 must be true"),
    "a bold eta": ({"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}}, "eta=1 must be more than 1"),
    "a name that leads out": ({"name": "../x"}, "it names a folder"),
    "a cap of nothing": ({"run_cap": 0}, "run_cap=0 must be a whole number"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_names_file_and_key(mistake: str, tmp_path: Path):
    changes, said = MISTAKES[mistake]
    path = file(tmp_path, **changes)
    with pytest.raises(ConfigError) as caught:
        read_sweep(path)
    assert str(caught.value).startswith(f"config error: {path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "[1, 2]", "", "a: &a [*a]", "x: !!python/object/apply:os.getcwd []"])
def test_what_is_no_sweep_at_all_is_one_line(text: str, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yaml") as caught:
        read_sweep(path)
    assert "\n" not in str(caught.value)
