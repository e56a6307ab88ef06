"""What came of a run, as digests; and the record that the soak leaves in ``benchmarks/results/soak.json``."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from a2c.storage.kept_checkpoints import load_newest
from a2c.storage.metrics_file import METRICS, read_rows
from a2c.study.machine import describe_machine

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "soak.json"
PACKAGES = ("torch", "gymnasium", "numpy", "ale-py", "box2d", "mujoco", "wandb")


def outcome(folder: Path) -> dict[str, str]:
    """SHA-256 of weights, optimizer, rows without clocks, and the latest episodes of a finished run."""
    saved = newest(folder)
    parts = {"weights": saved["learner"]["model"], "optimizer": saved["learner"]["optimizer"]}
    parts |= {"rows": rows_of(folder), "episodes": saved["collector"]["episodes"]}
    return {name: digest(part) for name, part in parts.items()}


def newest(folder: Path) -> dict[str, Any]:
    """The newest checkpoint that is whole."""
    return load_newest(folder / "checkpoints", ["last"], lambda line: None)[1]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run without ``time/*``."""
    rows = read_rows(folder / METRICS)
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows]


def digest(tree: Any) -> str:
    """SHA-256 of a tree of tensors and plain values, names included."""
    found = hashlib.sha256()
    _feed(found, tree)
    return found.hexdigest()


def _feed(found: Any, tree: Any) -> None:
    if isinstance(tree, torch.Tensor):
        found.update(f"{tree.dtype}{tuple(tree.shape)}".encode() + tree.detach().cpu().contiguous().numpy().tobytes())
    elif isinstance(tree, Mapping):
        for name in sorted(tree):
            found.update(f"{name}:".encode())
            _feed(found, tree[name])
    elif isinstance(tree, list | tuple):
        found.update(f"{len(tree)}[".encode())
        for part in tree:
            _feed(found, part)
    else:
        found.update(json.dumps(tree).encode())


def spread(values: list[float]) -> dict[str, float] | None:
    """Median and worst."""
    return {"median": round(statistics.median(values), 3), "worst": round(max(values), 3)} if values else None


def store(part: str, figures: Mapping[str, Any]) -> None:
    """Write one part of the record; the other one stays as it is."""
    record = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    load = os.getloadavg()[1]  # over five minutes: others may be at work there
    origin = {"date": time.strftime("%Y-%m-%d"), "machine": describe_machine(PACKAGES), "load": round(load, 1)}
    record = {"command": "make soak", **record, part: {**origin, **figures}}
    RESULTS.write_text(json.dumps(record, indent=1) + "\n")


def table(rows: list[tuple[object, ...]]) -> str:
    """Lines with columns."""
    text = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[k]) for row in text) for k in range(len(text[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in text)
