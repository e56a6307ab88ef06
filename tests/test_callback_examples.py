"""The programs of examples/ about callbacks and loops run."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from a2c.storage.metrics_file import METRICS, read_rows

EXAMPLES = Path(__file__).parents[1] / "examples"
LIGHT = ("device=cpu", "threads=1", "vectorization=sync", "eval.episodes=2", "eval.final_episodes=2", "num_envs=4")


@pytest.fixture
def typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, list[dict[str, float]]]]:
    """Runs a program; gives its last line, and the rows of its run."""

    def run(name: str, *overrides: str) -> tuple[str, list[dict[str, float]]]:
        monkeypatch.setattr(sys, "argv", [name, *LIGHT, f"runs_dir={tmp_path}", *overrides])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()[-1], read_rows(tmp_path / "latest" / METRICS)

    return run


def test_early_stopping(typed: Any, tmp_path: Path) -> None:
    more = ("eval.every=200", "log_every=200", "lr=1e-6", "total_steps=20_000", "gif=false")
    said, rows = typed("early_stopping.py", *more)
    assert re.fullmatch(r"no better than \d+\.\d for 3 evaluations at [\d,]+ steps", said)
    assert [row["callback/waited"] for row in rows[-4:]] == [0, 1, 2, 3]
    best = max(row["eval/mean_reward"] for row in rows)
    assert (tmp_path / "latest" / "checkpoints" / f"score-{best:.0f}.pt").exists()


def test_curriculum(typed: Any) -> None:
    more = ("eval.every=0", "log_every=500", "total_steps=12_000", "vectorization=workers", "num_workers=2")
    said, rows = typed("curriculum.py", *more)
    assert re.fullmatch(r"\d+\.\d \+- \d+\.\d without wind", said)
    levels = [row["callback/level"] for row in rows]
    assert levels == sorted(levels)
    assert levels[-1] > 0
    assert rows[-1]["episode/level"] > 0


def test_memory_in_your_loop(typed: Any) -> None:
    said, _ = typed("memory_in_your_loop.py", "total_steps=500", "eval.every=0")
    assert re.fullmatch(r"four at once: \d+", said)
