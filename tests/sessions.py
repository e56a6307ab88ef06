"""Trainings that stop after a given update, to be resumed, and what they leave."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

import a2c
from a2c.run.run import Run
from a2c.run.state import TrainState
from a2c.storage.checkpoint import load_checkpoint
from a2c.storage.metrics_file import METRICS, read_rows

QUIET = ("device=cpu", "wandb.mode=disabled", "gif=false", "eval.every=0", "eval.episodes=1", "total_steps=1_000_000")


@dataclass
class Sessions:
    """Trains in a folder; every session is stopped as by SIGTERM once the run has made so many updates.

    Attributes:
        said: the lines of the latest session.
        on_report: makes the callback of each session; None: there is none.
    """

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    said: list[str] = field(default_factory=list)
    on_report: Callable[[], Any] | None = None

    def told(self, ending: str) -> bool:
        """Whether the latest session said what came of the episodes in flight, in these words."""
        return [line.endswith(ending) for line in self.said if line.startswith("resumed after")] == [True]

    def run(self, *overrides: str, until: int, resume: Path | None = None) -> Path:
        """Train, or go on with a run, until it has made ``until`` updates; returns its folder."""

        def stopping(method: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(run: Run, *args: Any) -> Any:
                found = method(run, *args)
                state = found if isinstance(found, TrainState) else args[0]
                if state.update >= until:
                    run.stop.signal = "SIGTERM"
                return found

            return wrapped

        more = (f"runs_dir={self.folder}", *overrides, *([f"resume={resume}"] if resume else QUIET))
        cfg = a2c.load_config(*more)
        self.said = []
        with self.monkeypatch.context() as patch:
            for name in ("begin", "due", "report"):
                patch.setattr(Run, name, stopping(getattr(Run, name)))
            patch.setattr("a2c.run.showing.console.Console.note", lambda _, line: self.said.append(line))
            return Path(a2c.train(cfg, on_report=None if self.on_report is None else self.on_report()).folder)

    def interrupted(self, *overrides: str, stops: list[int], until: int, again: tuple[str, ...] = ()) -> Path:
        """As :meth:`run`, but stopped after each of ``stops`` too, and resumed with the settings ``again``."""
        folder = self.run(*overrides, until=stops[0])
        for stop in (*stops[1:], until):
            folder = self.run(*again, until=stop, resume=folder)
        return folder


def left_by(folder: Path) -> dict[str, Any]:
    """All that a run left but for settings and clocks."""
    saved = load_checkpoint(folder / "checkpoints" / "last.pt")
    kept = {key: saved[key] for key in ("spec", "learner", "collector", "callback") if key in saved}
    state = {key: value for key, value in saved["state"].items() if key != "wall_time"}
    rows = [
        {key: value for key, value in row.items() if not key.startswith("time/")} for row in read_rows(folder / METRICS)
    ]
    return {**kept, "state": state, "rows": rows}


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Where two trees of plain data differ, in any bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        alike = one.dtype == other.dtype and torch.equal(one, other)
        return [] if alike else [f"{where}: {one} {other}"]
    if dataclasses.is_dataclass(one) and type(one) is type(other):
        one, other = (
            {field.name: getattr(each, field.name) for field in dataclasses.fields(each)} for each in (one, other)
        )
    if isinstance(one, dict) and isinstance(other, dict):
        lacking = [f"{where}.{key}: in one only" for key in one.keys() ^ other.keys()]
        return lacking + [
            line for key in one.keys() & other.keys() for line in differences(one[key], other[key], f"{where}.{key}")
        ]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [
            line for k, pair in enumerate(zip(one, other, strict=True)) for line in differences(*pair, f"{where}[{k}]")
        ]
    return [] if one == other or (one != one and other != other) else [f"{where}: {one} {other}"]
