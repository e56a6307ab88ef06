#!/usr/bin/env python3
"""Does a sweep that is killed on the way find better settings than a preset? CartPole with a longer pole.

    make bench-sweep
    python benchmarks/sweep_demo.py --minutes 1 --folder /tmp/demo

For half an hour `a2c sweep benchmarks/long_pole.yaml` searches from the general settings, two runs at once. After a
third of the time it is killed (SIGKILL), after two thirds stopped (SIGINT); each time the same command goes on. What
it found is then trained on five fresh seeds, beside the general settings (`confirm=5`) and CartPole's preset: env steps
to a score of 475, all of a run's where it does not get there. Writes benchmarks/results/sweep_demo.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from processes import HERE, MeasurementError, child_environment, command_line, store

from a2c.run.statistics import bootstrap_interval
from a2c.settings.compose import load_config
from a2c.storage.metrics_file import METRICS, read_rows
from a2c.sweeps.confirmed import CONFIRMED
from a2c.sweeps.search import best, open_study, typed
from a2c.sweeps.sweep_file import Sweep, read_sweep
from a2c.sweeps.trial_runs import TrialFailed, score_of
from machine import describe_machine

FILE = HERE / "long_pole.yaml"
PRESET = "env=cartpole_study"
ENDS = (signal.SIGKILL, signal.SIGINT)  # of the first session, and of the second
SEEDS = 5


def search(folder: Path, minutes: float, jobs: int, trial_seeds: int) -> list[dict[str, Any]]:
    """Search for so long, with the two ends on the way, and confirm; what became of each session.

    Raises:
        MeasurementError: a session ended by itself, or in another way than asked.
    """
    command = [
        sys.executable, "-m", "a2c", "sweep", str(FILE), "--trust", f"folder={folder}", f"jobs={jobs}",
        f"seeds={trial_seeds}",
    ]  # fmt: skip
    sessions, left = [], 60 * minutes
    for place, end in enumerate((*ENDS, None)):
        extra = [f"hours={left / 3600:.6f}"] + ([f"confirm={SEEDS}"] if end is None else [])
        began = time.monotonic()
        with (folder.parent / f"{folder.name}-session-{place + 1}.log").open("w") as log:
            session = subprocess.Popen([*command, *extra], stdout=log, stderr=log, env=child_environment())
            try:
                code = session.wait(None if end is None else 60 * minutes / 3)
                ended = "by itself"
            except subprocess.TimeoutExpired:
                assert end is not None
                session.send_signal(end)
                code, ended = session.wait(), end.name
        seconds = time.monotonic() - began
        left -= min(seconds, left)
        if (end is None) != (ended == "by itself") or code != {None: 0, signal.SIGKILL: -9, signal.SIGINT: 130}[end]:
            raise MeasurementError(f"session {place + 1} ended {ended} with {code}; see {log.name}")
        sessions.append({"seconds": round(seconds, 1), "ended": ended, "code": code, "trials": counts(folder)})
    return sessions


def counts(folder: Path) -> dict[str, int]:
    """How many trials are in which state."""
    return dict(Counter(trial.state.name for trial in open_study(read_sweep(FILE), folder).trials))


def trained_once(folder: Path) -> bool:
    """Whether no run has a row twice, or one out of order: a run that was trained twice would."""
    for rows in folder.glob(f"trial-*/{METRICS}"):
        steps = [row["global_step"] for row in read_rows(rows)]
        if any(one >= other for one, other in itertools.pairwise(steps)):
            return False
    return True


def preset_settings(sweep: Sweep) -> list[str]:
    """CartPole's preset on this pole; where and how often it is evaluated is as in the sweep."""
    return [
        PRESET,
        *(word for word in sweep.overrides if not word.startswith("total_steps=")),
    ]  # the preset has its own


def preset_runs(folder: Path, sweep: Sweep, seeds: list[int], jobs: int) -> list[float | None]:
    """Env steps of the preset, by seed.

    Raises:
        MeasurementError: a run failed.
    """

    def steps(seed: int) -> float:
        settings = [*preset_settings(sweep), f"seed={seed}"]
        return score_of(folder / f"preset-seed{seed}", settings, sweep.metric, stop=lambda: 0)

    try:
        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(steps, seeds))
    except TrialFailed as failure:
        raise MeasurementError(f"a run of the preset: {failure}") from failure


def summary(name: str, settings: list[str], steps: list[float | None]) -> dict[str, Any]:
    """Mean and interval of env steps to the score; a run that does not get there counts with ``total_steps``.

    Raises:
        MeasurementError: a run failed.
    """
    most = load_config(*settings).total_steps
    counted = [min(step, most) for step in steps if step is not None]
    if len(counted) < len(steps):
        raise MeasurementError(f"{name}: {len(steps) - len(counted)} runs failed")
    low, high = bootstrap_interval(counted, lambda runs: runs.mean())
    return {
        "name": name,
        "settings": settings,
        "steps": counted,
        "reached": sum(step < most for step in counted),
        "mean": statistics.fmean(counted),
        "interval": [low, high],
    }


def main() -> None:
    """Run the demonstration and store what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="of the search, over its three sessions")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3, help="of each trial")
    parser.add_argument("--folder", type=Path, default=Path("runs/sweeps/long_pole"), help="a new one")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "sweep_demo.json")
    options = parser.parse_args()
    folder = options.folder.absolute()
    if folder.exists():
        sys.exit(f"{folder} is there already; choose another --folder, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.environ.update(child_environment())  # for trainings of the preset, which this process starts
    sweep = read_sweep(FILE)
    began = time.monotonic()
    try:
        sessions = search(folder, options.minutes, options.jobs, options.seeds)
        study = open_study(sweep, folder)
        leader = best(study)
        if leader is None:
            raise MeasurementError(f"no trial was done after {options.minutes:g} minutes")
        confirmed = json.loads((folder / CONFIRMED).read_text())
        preset = preset_runs(folder, sweep, confirmed["seeds"], options.jobs)
        found, without = confirmed["groups"]
        steps = [
            summary("found by the sweep", found["settings"], found["scores"]),
            summary("general settings", without["settings"], without["scores"]),
            summary("CartPole's preset", preset_settings(sweep), preset),
        ]
    except MeasurementError as error:
        sys.exit(str(error))
    results = {
        "command": command_line(sys.argv[1:], "sweep_demo.py"),
        "machine": describe_machine(),
        "minutes": options.minutes,
        "jobs": options.jobs,
        "seeds of a trial": options.seeds,
        "sessions": sessions,
        "trained once": trained_once(folder),
        "found": {"trial": leader.number, "value": leader.value, "values": typed(leader)},
        "fresh seeds": confirmed["seeds"],
        "steps to 475": steps,
        "total minutes": round((time.monotonic() - began) / 60, 1),
    }
    store(options.out, results)
    for group in steps:
        print(f"{group['name']:<20} {group['mean']:>9,.0f} env steps to 475, mean of {SEEDS} fresh seeds")
    print(options.out)


if __name__ == "__main__":
    main()
