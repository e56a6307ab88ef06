"""One run in lines of a name and a text."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from a2c.run.comparing.past_run import FINISHED, RUNNING, PastRun
from a2c.run.comparing.run_groups import ENV, shown
from a2c.run.comparing.run_list import score_of
from a2c.run.showing.figures import NOTHING, age, duration, number, relative
from a2c.run.showing.next_commands import resume_command
from a2c.settings.config import Config
from a2c.settings.defaults import defaults_of
from a2c.settings.redaction import leaf_settings, redact
from a2c.storage.folders import CHECKPOINTS

OF_THE_FOLDER = {ENV, "resume", "runs_dir"}  # said elsewhere


def facts_of(run: PastRun, now: float | None = None) -> list[tuple[str, str]]:
    """What to know of a run; an empty name goes on with the one before.

    Args:
        run: the run.
        now: seconds since the epoch; None: by the clock.
    """
    now = time.time() if now is None else now
    took = "" if run.wall_time is None else f" in {duration(run.wall_time)}"
    steps = f"{run.env_steps:,} of {run.config.total_steps:,} steps{took}"
    facts = [("run", shown(relative(run.folder))), ("environment", shown(run.config.env.id))]
    facts += [("state", f"{run.state}: {steps}; it last wrote {age(now - run.written)} ago"), ("score", _score(run))]
    facts += _named("settings", _settings(run.config))
    facts += _named("checkpoints", [_file(path, now) for path in _checkpoints(run.folder)] or ["none"])
    return [*facts, ("go on", _go_on(run))]


def _score(run: PastRun) -> str:
    if run.score is None:
        latest = NOTHING if run.latest is None else f"{number(run.latest)} in its latest evaluation"
        return f"{latest}; there is no final score"
    text = score_of(run) + ("" if run.episodes is None else f" over {run.episodes} episodes")
    if run.threshold is not None:
        text += f", threshold {run.threshold:g}: {'reached' if run.score >= run.threshold else 'not reached'}"
    if run.best_step is not None:
        text += f"; of the checkpoint after {run.best_step:,} steps, the best in evaluations ({number(run.best_score)})"
    return text


def _settings(config: Config) -> list[str]:
    """What to type for the defaults, and each setting that differs, with the default in parentheses."""
    typed, defaults = defaults_of(config)
    ours, theirs = (dict(leaf_settings(redact(asdict(cfg)))) for cfg in (config, defaults))
    differing = [
        f"{key}={_value(ours, key)} ({_value(theirs, key)})"
        for key in {**ours, **theirs}
        if key not in OF_THE_FOLDER and _value(ours, key) != _value(theirs, key)
    ]
    return [f"{typed}{', but' if differing else ''}", *differing]


def _value(settings: dict[str, Any], key: str) -> str:
    return shown(settings[key]) if key in settings else "unset"


def _checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / CHECKPOINTS).glob("*.pt"), reverse=True)  # of a name, the newest first


def _file(path: Path, now: float) -> str:
    with contextlib.suppress(OSError):
        facts = path.stat()
        return f"{shown(path.name)}  {facts.st_size / 1000:,.0f} kB, {age(now - facts.st_mtime)} ago"
    return shown(path.name)


def _go_on(run: PastRun) -> str:
    if run.state == RUNNING:
        return "it is going on"
    if not _checkpoints(run.folder):
        return "it has no checkpoint to go on from"
    more = ["total_steps=..."] if run.state == FINISHED else []
    return resume_command(run.folder, run.config, *more)


def _named(name: str, texts: list[str]) -> Iterator[tuple[str, str]]:
    return (("" if place else name, text) for place, text in enumerate(texts))
