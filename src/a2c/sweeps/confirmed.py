"""What a confirmation of the best trial found, as its file in the folder of the sweep tells it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from a2c.errors import ConfigError
from a2c.run.comparing.past_run import finite
from a2c.run.showing.figures import NOTHING
from a2c.run.statistics import bootstrap_interval, iqm

CONFIRMED = "confirmed.json"


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The best trial on fresh seeds, as text."""

    trial: str
    searched: str  # its score in the search
    score: str  # interquartile mean over the fresh seeds
    interval: str
    seeds: str


def confirmed_in(folder: Path) -> Confirmed | None:
    """What was confirmed of the sweep in a folder; None: nothing was.

    Raises:
        ConfigError: the file is damaged.
    """
    path = folder / CONFIRMED
    if not path.is_file():
        return None
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        scores = [finite(score) for score in tree["scores"]]
        known = [score for score in scores if score is not None]
        searched, trial = finite(tree["score"]), int(tree["trial"])
        if not known or len(known) < len(scores) or searched is None:
            raise ValueError("scores")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(f"{path} is damaged; take it away and confirm again") from None
    interval = NOTHING
    if len(known) > 1:
        low, high = bootstrap_interval(known)
        interval = f"[{low:.4g}, {high:.4g}]"
    return Confirmed(str(trial), f"{searched:.4g}", f"{iqm(known):.4g}", interval, str(len(known)))
