"""What a confirmation found on fresh seeds, as its file in the folder of the sweep tells it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from a2c.errors import ConfigError
from a2c.run.showing.figures import NOTHING
from a2c.run.statistics import bootstrap_interval, iqm

CONFIRMED = "confirmed.json"
_MOST_BYTES = 1 << 20  # ours have a thousand


@dataclass(frozen=True, slots=True)
class ConfirmedGroup:
    """Settings on fresh seeds, as text.

    Attributes:
        trial: whose values they are; None: the settings without those of the sweep.
        runs: how many of its runs have a score.
        score: the interquartile mean over its seeds.
        interval: the 95 % bootstrap interval of it.
    """

    trial: int | None
    runs: str
    score: str
    interval: str


def confirmed_in(folder: Path) -> list[ConfirmedGroup]:
    """What was confirmed of the sweep in a folder; empty: nothing was.

    Raises:
        ConfigError: the file is damaged.
    """
    path = folder / CONFIRMED
    if not path.is_file():
        return []
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is far larger than ours")
        return [
            _group(group["trial"], [None if score is None else float(score) for score in group["scores"]])
            for group in json.loads(path.read_text(encoding="utf-8"))["groups"]
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(f"{path} is damaged; move it away, and confirm=N makes another") from None


def _group(trial: int | None, scores: list[float | None]) -> ConfirmedGroup:
    known = [score for score in scores if score is not None]
    low, high = bootstrap_interval(known) if len(known) > 1 else (0.0, 0.0)
    return ConfirmedGroup(
        trial=None if trial is None else int(trial),
        runs=f"{len(known)} of {len(scores)}",
        score=f"{iqm(known):.4g}" if known else NOTHING,
        interval=f"[{low:.4g}, {high:.4g}]" if len(known) > 1 else NOTHING,
    )
