"""A comparison in full precision: CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from a2c.run.comparing.comparison import Compared, Figure
from a2c.run.comparing.score_curves import Reached


def as_csv(compared: Sequence[Compared]) -> str:
    """A line for each group: its settings and figures; what does not exist is empty."""
    lines: list[dict[str, Any]] = [
        {"env.id": each.group.env_id, **each.group.settings, **_figures(each)} for each in compared
    ]
    file = io.StringIO()
    writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return file.getvalue()


def as_json(compared: Sequence[Compared]) -> str:
    """Groups with their settings and figures, their runs, and the points of their curves."""
    groups = [
        {
            "env.id": each.group.env_id,
            "settings": each.group.settings,
            "figures": _figures(each),
            "runs": list(_runs(each)),
            "curve": _points(each),
        }
        for each in compared
    ]
    return json.dumps({"groups": groups}, indent=1, allow_nan=False) + "\n"


def _figures(each: Compared) -> dict[str, Any]:
    return {
        "runs": len(each.group.counted),
        **_ends("score_iqm", each.score),
        **_ends("probability_of_improvement", each.better),
        "aim": each.aim,
        "reached": sum(run is not None for run in each.reach) if each.reach else None,
        **_times(each.median),
    }


def _ends(name: str, figure: Figure | None) -> dict[str, float | None]:
    value, low, high = (None, None, None) if figure is None else (figure.value, figure.low, figure.high)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _times(reach: Reached | None) -> dict[str, float | None]:
    if reach is None:
        return {"steps_to_aim": None, "seconds_to_aim": None}
    seconds = reach.seconds if math.isfinite(reach.seconds) else None
    return {"steps_to_aim": reach.steps, "seconds_to_aim": seconds}


def _runs(each: Compared) -> Iterator[dict[str, Any]]:
    places = {id(run): place for place, run in enumerate(each.group.counted)}
    for run in each.group.runs:
        place = places.get(id(run))
        yield {
            "folder": str(run.folder),
            "seed": run.config.seed,
            "state": run.state,
            "counts": place is not None,
            "env_steps": run.env_steps,
            "score": run.score,
            "wall_time": run.wall_time,
            **_times(each.reach[place] if each.reach and place is not None else None),
        }


def _points(each: Compared) -> dict[str, Any]:
    band = each.band
    if band is None:
        return {"metric": each.metric, "env_steps": [], "iqm": [], "low": [], "high": []}
    parts = {"env_steps": band.steps, "iqm": band.middle, "low": band.low, "high": band.high}
    return {"metric": each.metric, **{name: values.tolist() for name, values in parts.items()}}
