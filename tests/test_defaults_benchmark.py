"""benchmarks/defaults.py: what it draws, what it does not train again, and what its tables say."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from a2c.settings.auto_values import Traits, decide
from a2c.settings.compose import load_config
from a2c.settings.resumed_settings import flatten

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

import defaults


def drawn_run(world: str, draw: int, scaled: float, clip: str) -> dict[str, Any]:
    choice = dict.fromkeys(defaults.FACTORS, "") | {"clip": clip}
    return {"world": world, "draw": draw, "scaled last": scaled, "choice": choice}


def test_the_first_draw_is_the_defaults_and_every_choice_another_setting() -> None:
    assert set(defaults.drawn(0).values()) == {""}
    assert defaults.drawn(7) == defaults.drawn(7) != defaults.drawn(8)
    usual = dict(flatten(asdict(decide(load_config("env.id=Any-v0"), Traits(continuous=True)))))
    for k in range(max(map(len, defaults.FACTORS.values()))):
        chosen = [choices[min(k, len(choices) - 1)] for choices in defaults.FACTORS.values()]
        load_config("env.id=Any-v0", *(text for choice in chosen for text in choice.split()))
        for text in (text for choice in chosen for text in choice.split()):
            key, value = text.split("=", 1)
            assert yaml.safe_load(value) != usual[key] or key in ("num_envs", "n_step"), text


def test_the_effect_of_a_choice_is_its_gain_over_all_draws_of_the_same_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(defaults, "FACTORS", {name: defaults.FACTORS[name] for name in ("clip", "gamma")})
    runs = [drawn_run("A", 0, 0.2, ""), drawn_run("A", 1, 0.6, "max_grad_norm=0.5")]
    runs += [drawn_run("B", 0, 1.0, ""), drawn_run("B", 1, 1.2, "max_grad_norm=0.5")]
    heading, *rows = defaults.effects(runs)
    assert heading == ["factor", "choice", "draws", "all", "A", "B"]
    found = {row[1]: row for row in rows if row[0] == "clip"}
    assert found["default"][2:] == ["1", "-0.15 [-0.20, -0.10]", "-0.20", "-0.10"]
    assert found["`max_grad_norm=0.5`"][2:] == ["1", "+0.15 [+0.10, +0.20]", "+0.20", "+0.10"]


def test_candidates_stand_beside_each_other() -> None:
    runs = [
        {"world": "CartPole", "candidate": name, "seed": seed, "score": score + seed, "last": score}
        for name, score in (("defaults", 400.0), ("plain A2C", 100.0))
        for seed in range(4)
    ]
    runs.append({"world": "Catch", "candidate": "plain A2C", "seed": 0, "score": 1.0, "last": 0.5})
    heading, row, other = defaults.scores(runs)
    assert heading[:4] == ["environment", "steps", "random, good", "seeds"]
    assert heading[4:7] == ["defaults: best", "on the scale", "last (kept)"]
    assert heading[7:] == ["plain A2C: best", "on the scale", "last (kept)"]
    # From -0.6 to 0.5 is 1.1 of 1.6: less than nine tenths.
    assert other == ["Catch", "100k", "-0.6, 1", "0, 1", "", "", "", "**1** [1, 1]", "1.00", "0.5 (0 of 1)"]
    assert row[:4] == ["CartPole", "100k", "22, 500", "4, 4"]
    assert row[4].startswith("**401.5** [40")
    assert row[5:7] == ["0.79", "400 (4 of 4)"]  # 379.5 of 478
    assert row[7].startswith("**101.5** [10")
    assert row[8:] == ["0.17", "100 (4 of 4)"]


def test_a_network_that_fell_a_tenth_of_the_way_to_the_random_policy_has_kept_what_it_learned() -> None:
    for last, kept in {-125.0: "1 of 1", -126.0: "0 of 1"}.items():  # Acrobot: -125.6, on the way from -84 to -500
        run = {"world": "Acrobot", "candidate": "defaults", "seed": 0, "score": -84.0, "last": last}
        _, row = defaults.scores([run])
        assert row[-1] == f"{last:g} ({kept})"


def test_what_is_stored_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def train(overrides: list[str], label: str, runs_dir: Path) -> Path:
        asked.append((overrides[0], int(next(text for text in overrides if text.startswith("seed="))[5:])))
        if len(asked) == 2:
            raise SystemExit("stopped")
        return tmp_path

    monkeypatch.setattr(defaults, "trained", train)
    monkeypatch.setattr(defaults, "read_run", lambda folder: {"score": 500.0, "wall_seconds": 1.0})
    monkeypatch.setattr(defaults.a2c, "load_policy", Path)
    monkeypatch.setattr(defaults.a2c, "evaluate", lambda path, episodes: SimpleNamespace(mean=episodes + 350.0))
    path = tmp_path / "confirm.json"
    confirm = ["defaults"], ["CartPole"], range(5, 8), tmp_path, path
    with pytest.raises(SystemExit):
        defaults.confirm(*confirm)
    defaults.confirm(*confirm)
    assert asked == [("env.id=CartPole-v1", seed) for seed in (5, 6, 6, 7)]
    runs = json.loads(path.read_text())["runs"]
    assert [(run["seed"], run["last"], run["scaled score"]) for run in runs] == [(5, 450, 1), (6, 450, 1), (7, 450, 1)]
