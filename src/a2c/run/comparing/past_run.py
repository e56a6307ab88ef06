"""A run as its folder tells it: settings, state, results. Only text is read, and nothing is unpickled."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a2c.errors import ConfigError
from a2c.settings.config import Config
from a2c.settings.old_values import translated
from a2c.settings.saved_settings import SETTINGS, settings_in
from a2c.settings.typed_settings import build
from a2c.storage.metrics_file import METRICS, last_row
from a2c.storage.run_lock import is_held

RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"
_SUMMARY = "summary.json"
_MOST_BYTES = 1 << 20  # of a summary; ours have two thousand


@dataclass(frozen=True, slots=True)
class PastRun:
    """What a run folder holds; None where the run has not come to it, or does not know."""

    folder: Path
    config: Config
    state: str  # running, finished, stopped (by a signal) or failed (also: killed)
    env_steps: int  # that it has trained for, as far as it wrote them down
    latest: float | None  # score of its latest row, if that has one
    score: float | None  # final score: the best checkpoint on fresh episodes
    score_std: float | None
    episodes: int | None  # of the final score
    threshold: float | None  # at which its environment counts as solved
    best_score: float | None  # that chose the best checkpoint
    best_step: int | None  # env steps of the best checkpoint
    wall_time: float | None  # seconds of training, over all sessions
    written: float  # when it last wrote, in seconds since the epoch


def read_run(folder: Path) -> PastRun:
    """Read a run folder.

    Args:
        folder: of one run.

    Raises:
        ConfigError: no run has left its settings there, or a file of it is damaged; says which.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise ConfigError(f"{folder} holds no settings of a run ({SETTINGS})")
    config = build(Config, translated(settings_in(path), tell=lambda line: None))
    try:
        told = _summary(folder / _SUMMARY)
        row = last_row(folder / METRICS)
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename or folder}: {error.strerror or error}") from error
    known = None if row is None else finite(row["global_step"])
    if known is None and _size(folder / METRICS):
        raise ConfigError(f"{folder / METRICS} ends in nothing that is a row of metrics")
    state = _state(folder, config, told, known)
    of_now = told if state in (FINISHED, STOPPED) else {}  # else they are those of an earlier session
    return PastRun(
        folder=folder,
        config=config,
        state=state,
        env_steps=int(max(known or 0, of_now.get("env_steps") or 0)),
        latest=None if row is None else finite(row.get("eval/mean_reward")),
        score=of_now.get("eval_mean"),
        score_std=of_now.get("eval_std"),
        episodes=_whole(of_now.get("eval_episodes")),
        threshold=told.get("reward_threshold"),
        best_score=of_now.get("best_eval"),
        best_step=_whole(of_now.get("best_step")),
        wall_time=of_now.get("wall_time"),
        written=max(_time(path), _time(folder / METRICS), _time(folder / _SUMMARY)),
    )


def finite(value: Any) -> float | None:
    """A number of a file that anybody may have written; None for what is no finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _state(folder: Path, config: Config, told: Mapping[str, Any], known: float | None) -> str:
    if is_held(folder):
        return RUNNING
    steps = told.get("env_steps")
    if steps is None or (known is not None and known > steps):  # no summary, or that of an earlier session
        return FAILED
    if told["stopped"] is not None:
        return STOPPED
    return FINISHED if told["ended"] or steps >= config.total_steps else FAILED


def _summary(path: Path) -> dict[str, Any]:
    """The numbers of a summary, ``stopped``, and whether it ``ended`` before all steps; empty where there is none.

    Raises:
        ConfigError: the file is damaged, or of something else.
        OSError: it cannot be read.
    """
    if not path.is_file():
        return {}
    if path.stat().st_size > _MOST_BYTES:
        raise ConfigError(f"{path} is no summary of a run: it has {path.stat().st_size:,} bytes")
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is damaged: it is no JSON") from None
    if not isinstance(tree, dict) or finite(tree.get("env_steps")) is None:
        raise ConfigError(f"{path} is no summary of a run: it holds no env_steps")
    stopped = tree.get("stopped")
    numbers = {name: finite(value) for name, value in tree.items()}
    return {**numbers, "stopped": None if stopped is None else "signal", "ended": tree.get("ended") is not None}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _time(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
