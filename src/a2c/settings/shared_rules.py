"""Rules that several settings share."""

from __future__ import annotations

from typing import Any

DEVICE: dict[str, Any] = {
    "doc": "auto (a GPU where there is one), cpu, cuda, cuda:1 or mps",
    "pattern": r"auto|cpu|mps|cuda(:\d+)?",
    "says": "auto, cpu, cuda, cuda:1 or mps",
}

SCHEDULE: dict[str, Any] = {"choices": ("constant", "linear", "cosine"), "points": True}
