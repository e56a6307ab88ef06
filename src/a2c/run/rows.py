"""The rows of metrics of a run, and those that a checkpoint holds because they wait for their scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from a2c.playing.evaluation import EvalResult
from a2c.storage.metrics_file import plain

WAITING_ROW, LEFT = "waiting_row", "left"  # keys of a checkpoint


@dataclass(frozen=True, slots=True)
class Row:
    """What a report leaves: a row of metrics, ``metrics | scores | times``."""

    env_steps: int
    metrics: Mapping[str, Any]
    times: Mapping[str, float]
    show: bool  # in the table on the screen


def known_until(resumed: Mapping[str, Any], env_steps: int) -> int:
    """Env steps of the last row that a resumed run does not make again.

    Args:
        resumed: its checkpoint.
        env_steps: of that.
    """
    if LEFT in resumed:
        return int(resumed[LEFT]["rows"][0][0]) - 1
    return env_steps - (WAITING_ROW in resumed)


def scores_of(result: EvalResult) -> dict[str, float]:
    """What an evaluation adds to a row."""
    cut = {"eval/cut": float(result.cut)} if result.cut else {}
    return {"eval/mean_reward": result.mean, "eval/std_reward": result.std, **cut}


def plain_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics as a checkpoint can hold them."""
    return {name: plain(metrics[name]) for name in metrics}
