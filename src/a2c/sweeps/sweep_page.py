"""The page of a sweep: what its template shows, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from optuna.trial import FrozenTrial

from a2c.run.showing.html_page import render
from a2c.sweeps.confirmed import confirmed_in
from a2c.sweeps.parallel_coordinates import draw_parallel
from a2c.sweeps.sweep_file import Sweep
from a2c.sweeps.sweep_picture import draw_history, draw_importance, draw_slice, scored

TEMPLATE = Path(__file__).with_name("sweep.html")


def page_of(
    sweep: Sweep,
    trials: Sequence[FrozenTrial],
    folder: Path,
    *,
    shares: Mapping[str, float] | None,
    fewest: int,
    commands: Mapping[str, str],
    head: Sequence[str],
    lines: Sequence[Sequence[str]],
) -> str:
    """The whole page as HTML.

    Args:
        sweep: its file.
        trials: all of them.
        folder: of the sweep; it may hold what a confirmation found.
        shares: importance of each setting; None: too few trials are done.
        fewest: trials that importance needs.
        commands: what each does and how it is typed.
        head, lines: the table of all trials.

    Raises:
        ConfigError: the file of a confirmation is damaged.
    """
    found = scored(trials)
    done = [trial for trial in found if trial.done]
    leader = (max if sweep.maximize else min)(done, key=lambda trial: trial.score, default=None)
    varied = {name: parameter for name, parameter in sweep.parameters.items() if len(parameter.choices) != 1}
    best = None if leader is None else leader.number
    return render(
        TEMPLATE,
        name=sweep.name,
        metric=sweep.metric,
        goal="the more, the better" if sweep.maximize else "the less, the better",
        method=sweep.method,
        count=len(lines),
        best=None if leader is None else (leader.number, f"{leader.score:.4g}", list(leader.values.items())),
        confirmed=confirmed_in(folder),
        commands=list(commands.items()),
        history=draw_history(found, maximize=sweep.maximize) if done else None,
        parallel=draw_parallel(found, varied, maximize=sweep.maximize) if len(done) > 1 and varied else None,
        slices=[draw_slice(found, *item, place, best) for place, item in enumerate(varied.items())] if done else [],
        importance=None if shares is None else draw_importance(shares),
        fewest=fewest,
        head=head,
        lines=lines,
    )
