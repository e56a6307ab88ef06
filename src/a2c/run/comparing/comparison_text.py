"""A comparison as a table for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

from a2c.run.comparing.comparison import Compared, Figure
from a2c.run.comparing.run_groups import shown
from a2c.run.comparing.score_curves import EVALUATIONS
from a2c.run.showing.figures import NOTHING, aligned, duration, number


def as_text(compared: Sequence[Compared]) -> str:
    """The table, and below it what its columns mean."""
    envs = list(dict.fromkeys(each.group.env_id for each in compared))
    columns = _words(compared, envs)
    words = len(columns)
    columns["runs"] = [str(len(each.group.counted)) for each in compared]
    digits = digits_of([score for each in compared for score in each.scores])
    columns["score"] = [_value(each.score, digits) for each in compared]
    columns["95 % interval"] = [_interval(each.score, digits) for each in compared]
    meaning = ["score: interquartile mean over runs of their final scores, with its bootstrap interval"]
    if len(compared) > len(envs):
        columns["better"] = [_value(each.better, 2) for each in compared]
        columns["95 % interval "] = [_interval(each.better, 2) for each in compared]
        first = "the first line" if len(envs) == 1 else "the first line of its environment"
        meaning.append(f"better: probability that a run scores above one of {first}, with its bootstrap interval")
    if any(each.aim is not None for each in compared):
        reach, said = _reaching(compared)
        columns |= reach
        meaning.append(said)
    lines = [list(columns), *(list(line) for line in zip(*columns.values(), strict=True))]
    title = [] if len(envs) > 1 else [shown(envs[0])]
    return "\n".join([*title, *aligned(lines, words), *meaning])


def digits_of(scores: Sequence[float]) -> int:
    """Decimals that scores of this size are shown with."""
    most = max(map(abs, scores), default=0.0)
    return 1 if most >= 100 else 2 if most >= 10 else 3


def _words(compared: Sequence[Compared], envs: Sequence[str]) -> dict[str, list[str]]:
    """What distinguishes the groups."""
    columns = {"environment": [shown(each.group.env_id) for each in compared]} if len(envs) > 1 else {}
    for key in compared[0].group.settings:
        columns[key] = [each.group.settings[key] or NOTHING for each in compared]
    return columns or {"settings": ["all equal"]}


def _reaching(compared: Sequence[Compared]) -> tuple[dict[str, list[str]], str]:
    """Columns about the score to reach, and what they mean."""
    aims = {each.aim for each in compared}
    aim = f"{next(iter(aims)):g}" if len(aims) == 1 else "threshold"
    counts = [(sum(run is not None for run in each.reach), len(each.reach)) for each in compared]
    columns = {f"reach {aim}": [f"{there} of {all_}" if all_ else NOTHING for there, all_ in counts]}
    columns["steps"] = [NOTHING if each.median is None else number(each.median.steps, 0) for each in compared]
    seconds = [math.nan if each.median is None else each.median.seconds for each in compared]
    if not all(map(math.isnan, seconds)):
        columns["time"] = [duration(value) if math.isfinite(value) else NOTHING for value in seconds]
    metrics = {each.metric for each in compared if each.aim is not None}
    what = "an evaluation" if metrics == {EVALUATIONS} else "the return of training"
    medians = ", ".join(list(columns)[1:])
    said = f"reach: runs in which {what} got there; {medians}: the median, a run that never did being the slowest"
    return columns, said


def _value(figure: Figure | None, digits: int) -> str:
    return NOTHING if figure is None else number(figure.value, digits)


def _interval(figure: Figure | None, digits: int) -> str:
    if figure is None or figure.low is None:
        return NOTHING
    return f"[{number(figure.low, digits)}, {number(figure.high, digits)}]"
