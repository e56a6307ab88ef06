"""Run folders made by hand: settings, rows and a summary, without a training."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from a2c.settings.auto_values import decide
from a2c.settings.compose import load_config
from a2c.storage.run_lock import LOCK

Row = Mapping[str, Any]


@functools.cache
def _preset(env: str) -> str:
    return json.dumps(asdict(decide(load_config(env))))  # a run keeps no auto


def _settings(env: str, changes: Sequence[str]) -> str:
    """The settings of a preset with ``key=value`` changes, as YAML; much quicker than composing them."""
    tree = json.loads(_preset(env))
    for change in changes:
        key, _, value = change.partition("=")
        *groups, leaf = key.split(".")
        place = tree
        for group in groups:
            place = place[group]
        place[leaf] = yaml.safe_load(value)
    return yaml.safe_dump(tree)


def past_run(
    name: str,
    *changes: str,
    env: str = "env=cartpole",
    scores: Sequence[float] = (),
    every: int = 100,
    seconds: float = 1.0,
    final: float | None = None,
    threshold: float | None = None,
    stopped: str | None = None,
    rows: Sequence[Row] | None = None,
    summary: Mapping[str, Any] | None = None,
) -> Path:
    """Make ``runs/<name>`` below the working folder, as a finished run unless ``final`` and ``stopped`` are None.

    Args:
        name: of the folder, below ``runs``.
        changes: ``key=value`` beside the preset; ``total_steps`` is the last step unless given.
        env: the preset.
        scores: of its evaluations, one every ``every`` steps and ``seconds`` seconds.
        final: its final score.
        threshold: of its environment.
        stopped: the signal that ended it.
        rows: instead of those that ``scores`` make.
        summary: more of summary.json, or other values.
    """
    folder = Path("runs") / name
    (folder / ".hydra").mkdir(parents=True)
    (folder / LOCK).write_text("")
    steps = every * max(1, len(scores))
    (folder / ".hydra" / "config.yaml").write_text(_settings(env, [f"total_steps={steps}", *changes]))
    if rows is None:
        rows = [
            {"global_step": every * place, "eval/mean_reward": score, "time/time_elapsed": seconds * place}
            for place, score in enumerate(scores, 1)
        ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if final is not None or stopped is not None or summary is not None:
        told = {"env_steps": steps, "stopped": stopped, "eval_mean": final, "reward_threshold": threshold}
        (folder / "summary.json").write_text(json.dumps({**told, **(summary or {})}))
    return folder
