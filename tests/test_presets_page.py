"""docs/presets.md: it shows the presets as they are, and the scores that are stored."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

import presets_page
from learning_tasks import Known, Table, Task


@pytest.fixture
def one_preset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A preset of its own and what was stored of it; returns the folder."""
    tasks = {
        "pole": Task(("env=pole",), floor=5, aim=9, known=Known(7, "others")),
        "pole ac": Task(("env=pole", "algo=ac"), floor=2, aim=9),
        "poles": Task(("env=poles",), floor=2, aim=9),
    }
    table = Table(tasks, known="known", curve="theirs", more=True, document="none")
    monkeypatch.setattr(presets_page, "TABLES", {"found": table})
    monkeypatch.setattr(presets_page, "RESULTS", tmp_path)
    monkeypatch.setattr(presets_page, "PICTURES", tmp_path)
    monkeypatch.setattr(presets_page, "presets", lambda: {"pole": tmp_path / "pole.yaml"})
    settings = "# @package _global_\n# make train env=pole\nenv:\n  id: Pole-v1\nlr: 1.0e-3   # because\n"
    (tmp_path / "pole.yaml").write_text(settings)
    (tmp_path / "pole.gif").touch()
    return tmp_path


def result(*scores: float) -> dict[str, Any]:
    return {"runs": [{"seed": seed, "score": score, "env_steps": 250_000} for seed, score in enumerate(scores)]}


def test_a_preset_stands_with_its_picture_its_scores_and_its_settings(one_preset: Path) -> None:
    tasks = {"pole": result(3.0, 6.0, 6.0, 6.0), "pole ac": result(1.0), "poles": result(1000.0)}
    (one_preset / "found.json").write_text(json.dumps({"tasks": tasks}))
    text = presets_page.page()
    assert "| [![an agent of env=pole](images/presets/pole.gif)](#pole)<br>`pole` |" in text
    (line,) = (line for line in text.splitlines() if line.startswith("- `make train env=pole`"))
    assert line.startswith("- `make train env=pole`: **6.0** [")  # the middle half of 3, 6, 6, 6
    assert line.endswith(", 6.0] after 0.25M steps; 3 of 4 seeds reach 5; theirs: 7 (others)")
    assert "- `make train env=pole algo=ac`: **1.0** [1.0, 1.0] after 0.25M steps; 0 of 1 seeds reach 2\n" in text
    assert "1000" not in text
    assert "```yaml\nenv:\n  id: Pole-v1\nlr: 1.0e-3   # because\n```" in text


def test_one_long_run_is_called_one_run(one_preset: Path) -> None:
    (one_preset / "found.json").write_text(json.dumps({"tasks": {}}))
    assert "Not measured" in presets_page.page()
    run = {"command": "a2c train env=pole", "score": 12.34, "std": 0.5, "env_steps": 4_000_000}
    (one_preset / "pole.json").write_text(json.dumps(run))
    assert "- `a2c train env=pole`: **12.3** ± 0.5, one run of 4M steps" in presets_page.page()


def test_the_page_is_of_todays_presets_and_results() -> None:
    assert presets_page.PAGE.read_text() == presets_page.page(), "make gallery ARGS=--presets writes it anew"


def test_pictures_move_and_are_small() -> None:
    pictures = list(presets_page.PICTURES.glob("*.gif"))
    of_another = {name for name in presets_page.names() if name.endswith(presets_page.STUDY)} | {"cartpole_device"}
    assert {path.stem for path in pictures} == set(presets_page.names()) - of_another - {"breakout"}  # 10M steps
    for path in pictures:
        assert path.stat().st_size < 400_000, path
        with Image.open(path) as picture:
            assert picture.width <= 240
            assert getattr(picture, "n_frames", 1) > 10, path
