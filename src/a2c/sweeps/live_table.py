"""What a sweep shows while it runs: trials as a table, and a line that says how far it is. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from a2c.run.showing.figures import NOTHING, duration, number
from a2c.sweeps.trial_watch import DONE, FAILED, PRUNED, RUNNING, Standing

BAR = 12  # characters of a bar
MOST_STATE = 22  # characters of the last column that room is kept for: ended early at 120,000
GAP = 2  # between columns


def table_of(trials: Sequence[Standing], names: Sequence[str], *, maximize: bool, width: int, height: int) -> Table:
    """Trials by number: their values, score, the best so far, and how far a running one is or where one ended.

    Where the values do not fit beside each other, their names are broken at underscores; where that does not help
    either, they stand in one column as ``name=value``.

    Args:
        trials: those that have begun, by number.
        names: of the settings to show.
        maximize: whether more is better.
        width, height: of the terminal, in characters; what has no room are the oldest trials, but for the best.
    """
    bests = best_so_far(trials, maximize=maximize)
    leader = leading(trials, maximize=maximize)
    heads = _heads(trials, names, width)
    table = Table(box=None, padding=(0, GAP, 0, 0), collapse_padding=True, pad_edge=False, header_style="bold cyan")
    table.add_column("trial", justify="right", no_wrap=True)
    if heads is None:
        table.add_column("values", overflow="fold", ratio=1)
    else:
        for head in heads:
            table.add_column(head, justify="right", no_wrap=True)
    for head in ("score", "best"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, overflow="ellipsis")
    lines = 1 if heads is not None else max((_lines(trial, names, width) for trial in trials), default=1)
    above = 1 if heads is None else max((head.count("\n") for head in heads), default=0) + 1
    for trial in _chosen(trials, leader, max(1, (height - above) // lines)):
        best = bests[trial.number]
        table.add_row(
            str(trial.number),
            *([_as_words(trial, names)] if heads is None else [trial.values.get(name, NOTHING) for name in names]),
            Text(_shown(trial.score), style="dim" if trial.state == RUNNING else ""),  # not its last
            _shown(best),
            _state(trial),
            style="bold green" if trial is leader else "",
        )
    return table


def status_line(
    name: str, trials: Sequence[Standing], wanted: int | None, left: float | None, *, maximize: bool
) -> str:
    """How far a sweep is, like ``lunarlander  12 of 30 trials  2 running  best 231.4 (trial 7)  eta 1h02m``.

    Args:
        name: of the sweep.
        trials: those that have begun.
        wanted: how many trials there shall be; None: as many as there is time for.
        left: seconds, from :func:`seconds_left`.
        maximize: whether more is better.
    """
    counts = {state: sum(trial.state == state for trial in trials) for state in (RUNNING, PRUNED, FAILED)}
    ended = len(trials) - counts[RUNNING]
    parts = [name, f"{ended} trials" if wanted is None else f"{ended} of {wanted} trials"]
    parts += [f"{count} {state}" for state, count in counts.items() if count]
    leader = leading(trials, maximize=maximize)
    if leader is not None:
        parts.append(f"best {_shown(leader.score)} (trial {leader.number})")
    parts.append(f"eta {NOTHING if left is None else duration(left)}")
    return "  ".join(parts)


def seconds_left(before: float, now: float, seconds: float, wanted: int | None, most: float) -> float | None:
    """Time until the session ends, if trials go on as they did; None: nothing says yet.

        left = min((wanted - now) * seconds / (now - before), most)

    Args:
        before, now: trials that were done when the session began and are done now, a running one by its share.
        seconds: between the two.
        wanted: trials in all; None: as many as there is time for.
        most: seconds that the session has left; infinite: it ends with its trials.
    """
    left = math.inf
    if wanted is not None and now - before > 0.01:  # one in a hundred of a trial tells nothing yet
        left = max(0.0, wanted - now) * seconds / (now - before)
    left = min(left, most)
    return left if math.isfinite(left) else None


def leading(trials: Sequence[Standing], *, maximize: bool) -> Standing | None:
    """The trial with the best score of those that are done; of equals the first."""
    done = [trial for trial in trials if trial.state == DONE and trial.score is not None]
    return max(done, key=lambda trial: (trial.score or 0.0) * (1 if maximize else -1), default=None)


def best_so_far(trials: Sequence[Standing], *, maximize: bool) -> Mapping[int, float | None]:
    """By number of each trial, the best score of those up to it that are done."""
    better, found, bests = max if maximize else min, None, {}
    for trial in trials:
        if trial.state == DONE and trial.score is not None:
            found = trial.score if found is None else better(found, trial.score)
        bests[trial.number] = found
    return bests


def _chosen(trials: Sequence[Standing], leader: Standing | None, room: int) -> list[Standing]:
    """As many trials as there is room for, by number: the running ones, the best, then the newest."""
    running = [trial for trial in trials if trial.state == RUNNING]
    first = [*running, *([leader] if leader is not None else [])]
    others = [trial for trial in reversed(trials) if all(trial is not each for each in first)]
    return sorted([*first, *others][:room], key=lambda trial: trial.number)


def _heads(trials: Sequence[Standing], names: Sequence[str], width: int) -> list[str] | None:
    """Names over the columns of values, on several lines if need be; None: the columns have no room in any way."""
    cells = [max((len(trial.values.get(name, NOTHING)) for trial in trials), default=0) for name in names]
    others = _others(trials)
    for heads in (list(names), [name.replace("_", "\n_").replace(".", "\n.") for name in names]):
        widths = [max(cell, *map(len, head.split("\n"))) for cell, head in zip(cells, heads, strict=True)]
        if others + sum(widths) + GAP * len(widths) <= width:
            return heads
    return None


def _others(trials: Sequence[Standing]) -> int:
    """Characters that all but the values take."""
    widest = max((len(_shown(trial.score)) for trial in trials), default=0)
    return len("trial") + 2 * max(widest, len("score")) + 3 * GAP + MOST_STATE


def _as_words(trial: Standing, names: Sequence[str]) -> str:
    return " ".join(f"{name}={trial.values[name]}" for name in names if name in trial.values)


def _lines(trial: Standing, names: Sequence[str], width: int) -> int:
    """Lines that the values of a trial take where they stand in one column: words may end a line early."""
    room = max(10, width - _others([trial]) - GAP)
    return math.ceil(1.3 * len(_as_words(trial, names)) / room)


def _shown(score: float | None) -> str:
    return NOTHING if score is None else f"{score:.4g}"


def _state(trial: Standing) -> Text:
    if trial.state == RUNNING:
        full = round(BAR * trial.share)
        return Text.assemble(("━" * full, "green"), ("─" * (BAR - full), "dim"), f" {trial.share:4.0%}")
    if trial.state == PRUNED:
        return Text(f"ended early at {number(trial.steps, 0)}", style="dim")
    if trial.state == FAILED:
        return Text(f"failed: {trial.said}" if trial.said else FAILED, style="red")
    return Text("")
