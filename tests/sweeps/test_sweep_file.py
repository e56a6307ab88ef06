"""The file of a sweep: W&B's words are understood, or one line says which are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from a2c.errors import ConfigError
from a2c.sweeps.sweep_file import Halving, Parameter, read_sweep

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
        "optimizer": {"values": ["adam", "rmsprop", "adam"]},
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
            metric={"name": "train/loss", "goal": "minimize"},
            early_terminate={"type": "hyperband", "min_iter": 3, "eta": 2},
            run_cap=7,
        )
    )
    assert sweep.parameters == {
        "lr": Parameter(low=1e-4, high=1e-2, log=True),
        "n_step": Parameter(low=5, high=20, whole=True),
        "gamma": Parameter(low=0.9, high=1.0),
        "beta": Parameter(low=0, high=1, step=0.25),
        "optimizer": Parameter(("adam", "rmsprop")),
        "max_grad_norm": Parameter(("null", "0.5")),
        "normalize_obs": Parameter(("true",)),
        "network.hidden_sizes": Parameter(("[8,8]", "[16]")),
        "name": Parameter(("'true'", "'two words'")),  # text, not a truth
    }
    assert (sweep.name, sweep.metric, sweep.maximize, sweep.cap) == ("mine", "train/loss", False, 7)
    assert sweep.halving == Halving(3, 2)


def test_hyperband_by_its_last_iteration(tmp_path: Path):
    # max_iter=27, s=2, eta=3: brackets after 27/9 = 3 and 27/3 = 9
    early = {"type": "hyperband", "max_iter": 27, "s": 2, "eta": 3}
    assert read_sweep(file(tmp_path, early_terminate=early)).halving == Halving(3, 3)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"parameter": {}}, "parameter is not understood here; did you mean 'parameters'?"),
    "unknown method": ({"method": "grids"}, "method=grids must be one of grid, random, bayes"),
    "unknown goal": ({"metric": {"goal": "max"}}, "metric.goal=max must be maximize or minimize"),
    "nothing to search": ({"parameters": {}}, "parameters are missing"),
    "a list": ({"parameters": ["lr"]}, "parameters must be a mapping"),
    "grid of a range": ({"method": "grid", "parameters": {"lr": {"min": 1, "max": 2}}}, "parameters.lr is a range"),
    "no values": ({"parameters": {"lr": {"values": []}}}, "parameters.lr.values must be a list of values"),
    "half a range": ({"parameters": {"lr": {"min": 0.1}}}, "parameters.lr.max=None must be a number"),
    "a range upside down": ({"parameters": {"lr": {"min": 2, "max": 1}}}, "min must be less than max"),
    "log of nothing": (
        {"parameters": {"lr": {"distribution": "log_uniform_values", "min": 0, "max": 1}}}, "and more than 0",
    ),
    "a normal": ({"parameters": {"lr": {"distribution": "normal", "min": 0, "max": 1}}}, "distribution=normal must be"),
    "mu": ({"parameters": {"lr": {"mu": 0}}}, "parameters.lr.mu is not understood here"),
    "no command": ({"command": None}, "command must be a list"),
    "a flag": ({"command": [*COMMAND, "-m"]}, "command: -m is no setting"),
    "a resumed run": ({"command": [*COMMAND, "resume=latest"]}, "command: resume=latest is no setting"),
    "Hydra's": ({"command": [*COMMAND, "hydra/launcher=x"]}, "hydra/launcher=x is not for a sweep"),
    "a secret": ({"parameters": {"name": {"values": ["${oc.env:KEY}"]}}}, "is not for a sweep"),
    "another end": ({"early_terminate": {"type": "median"}}, "early_terminate.type=median must be hyperband"),
    "a bold eta": ({"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}}, "eta must be at least 2"),
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
