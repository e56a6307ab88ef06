"""How long training takes to reach a score, in wall time."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from processes import MeasurementError, child_environment

from a2c.storage.metrics_file import read_rows

POLL = 0.25  # seconds between looks at the metrics
PATIENCE = 60.0  # seconds that the program may take to end in order
SCORES = ("rollout/ep_rew_mean", "eval/mean_reward")


@dataclass(frozen=True)
class Goal:
    """A metric and the value that it must reach; rollout/ep_rew_mean is over the latest 100 episodes of training."""

    metric: str
    value: float


def train_until(goal: Goal, overrides: list[str], limit: float) -> dict[str, Any]:
    """Train from nothing until the goal or the time limit is reached, then stop the run in order.

    Returns:
        Whether the goal was ``reached``, after how many ``seconds`` (including the start of the program) and
        ``env_steps``, and the curve.

    Raises:
        MeasurementError: the program ended by itself, short of the goal.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "train.log"
        command = [sys.executable, "-m", "a2c", "train", *overrides, f"runs_dir={folder}/runs"]
        begin = time.perf_counter()
        with log.open("w") as output:
            program = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd=folder, env=child_environment()
            )
        try:
            curve = watch(program, Path(folder) / "runs", goal, begin, limit)
        finally:
            stop(program)
        reached = bool(curve) and (curve[-1].get(goal.metric) or -float("inf")) >= goal.value
        if not reached and time.perf_counter() - begin < limit:
            last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-1:]
            raise MeasurementError(f"a2c train ended with {program.returncode} short of the goal: {' '.join(last)}")
    return {
        "overrides": overrides,
        "goal": asdict(goal),
        "reached": reached,
        "seconds": curve[-1]["seconds"] if curve else None,
        "env_steps": curve[-1]["env_steps"] if curve else None,
        "limit": limit,
        "curve": curve,
    }


def watch(program: subprocess.Popen[bytes], runs: Path, goal: Goal, begin: float, limit: float) -> list[dict[str, Any]]:
    """The scores as they come, each with the second at which it came, up to the goal, the limit or the end."""
    curve: list[dict[str, Any]] = []
    ended = False
    while not ended and time.perf_counter() - begin < limit:
        ended = program.poll() is not None  # one more look after the end
        time.sleep(POLL)
        seconds = round(time.perf_counter() - begin, 2)
        rows = [row for file in runs.glob("*/*/metrics.jsonl") for row in read_rows(file)]
        for row in rows[len(curve) :]:
            scores = {name: row[name] for name in SCORES if row.get(name) is not None}
            curve.append({"seconds": seconds, "env_steps": row["global_step"], **scores})
            if scores.get(goal.metric, -float("inf")) >= goal.value:
                return curve
    return curve


def stop(program: subprocess.Popen[bytes]) -> None:
    """End the program as Ctrl-C does, which saves a checkpoint; kill it if that takes too long."""
    if program.poll() is None:
        program.send_signal(signal.SIGINT)
    try:
        program.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait()
