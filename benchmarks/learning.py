#!/usr/bin/env python3
"""Does it learn? Trains every task of learning_tasks.py over several seeds and scores the best checkpoints.

    make bench-learning                                   # all that is not stored yet: hours of one core
    python benchmarks/learning.py --tasks cartpole        # one task
    python benchmarks/learning.py --tasks taxi --again    # train it anew
    python benchmarks/learning.py --draw                  # tables and curves again, from the stored results
    python benchmarks/learning.py --record pong runs/latest   # keep the curve of one long run

Every run is what `a2c train OVERRIDES seed=S` makes; its score is the mean return of greedy episodes of the best
checkpoint, on seeds that neither training nor the choice of the checkpoint has seen. Each run is stored as soon as it
has ended, with the settings that differ from the general ones; a benchmark that was stopped goes on with those that are
missing, or whose settings have changed. Writes .json, .md and .png of each table (learning, learning_control,
learning_spaces, learning_memory) to benchmarks/results, the table into its document, and docs/presets.md.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from learning_tables import draw, met_by, placed
from learning_tasks import TABLES, TASKS, Table, Task
from learning_time import Remaining
from presets_page import write_page
from processes import HERE, child_environment, store, stored
from untrained import untrained_scores

from a2c.api import load_config
from a2c.run.statistics import bootstrap_interval, iqm
from a2c.storage.metrics_file import read_rows
from machine import describe_machine

RESULTS = HERE / "results"
# Results do not depend on the vectorization; several runs share the cores best with one process each.
QUIET = ("gif=false", "wandb.mode=disabled", "vectorization=sync", "threads=1")
OF_THE_FOLDER = ("runs_dir=", "name=", "env=custom")  # of the machine that a run was made on, or of no preset


def overrides_of(task: Task) -> list[str]:
    return [*task.overrides, *([f"eval.final_episodes={task.episodes}"] if task.episodes != 20 else [])]


def label_of(name: str, seed: int) -> str:
    """A name for a run of this task."""
    return f"bench-{name.replace(',', '').replace(' ', '-')}-seed{seed}"


def run_training(overrides: list[str], label: str, runs_dir: Path) -> dict[str, Any]:
    """Train one run in a new process, which can import files of this folder; returns what :func:`read_run` does."""
    return read_run(trained(overrides, label, runs_dir))


def trained(overrides: list[str], label: str, runs_dir: Path) -> Path:
    """Train as :func:`run_training` does; returns the run folder."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    before = set(runs_dir.glob(f"*/*_{label}*"))
    log = runs_dir / f"{label}.log"
    with log.open("w") as output:
        command = [sys.executable, "-m", "a2c", "train", *overrides, *QUIET, f"runs_dir={runs_dir}", f"name={label}"]
        code = subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, check=False, env=child_environment()
        ).returncode
    made = list(set(runs_dir.glob(f"*/*_{label}*")) - before)
    if code != 0 or len(made) != 1:
        raise SystemExit(f"{' '.join(command)} ended with {code}; see {log}")
    return made[0]


def read_run(folder: Path) -> dict[str, Any]:
    """The part of a run folder that the report needs."""
    summary = json.loads((folder / "summary.json").read_text())
    rows = [row for row in read_rows(folder / "metrics.jsonl") if row.get("eval/mean_reward") is not None]
    return {
        "seed": summary["seed"],
        "score": summary["eval_mean"],
        "std": summary["eval_std"],
        "episodes": summary["eval_episodes"],
        "env_steps": summary["env_steps"],
        "wall_seconds": round(summary["wall_time"], 1),
        "curve": {
            "env_steps": [row["global_step"] for row in rows],
            "eval_mean": [row["eval/mean_reward"] for row in rows],
        },
    }


def settings_of(overrides: list[str]) -> dict[str, Any]:
    """The settings of a run that differ from those of `conf/config.yaml`, flat: ``{"env.id": "CartPole-v1", ...}``."""
    return {key: value for key, value in _flat(asdict(load_config(*overrides))) if general_settings()[key] != value}


@cache
def general_settings() -> dict[str, Any]:
    """The settings of `conf/config.yaml`, flat."""
    return dict(_flat(asdict(load_config("env.id=Any-v0"))))


def missing_seeds(task: Task, result: Mapping[str, Any], first: int | None = None, again: bool = False) -> list[int]:
    """The ``first`` seeds of a task, None: all, without those that have a run of today's settings.

    Runs of older files, which name no settings, count.
    """
    settings = settings_of(overrides_of(task))
    stale = again or result.get("settings", settings) != settings
    have = set() if stale else {run["seed"] for run in result.get("runs", [])}
    return [seed for seed in task.seeds[:first] if seed not in have]


def keep(path: Path, tasks: Mapping[str, Task], name: str, run: dict[str, Any], command: str) -> None:
    """Store one more run of a task, in place of an earlier one of this seed and of all with other settings."""
    results = stored(path) or {"tasks": {}}
    task, old = tasks[name], results["tasks"].get(name, {})
    settings = settings_of(overrides_of(task))
    fitting = old.get("runs", []) if old.get("settings", settings) == settings else []
    runs = sorted([run, *(each for each in fitting if each["seed"] != run["seed"])], key=lambda each: each["seed"])
    scores = [each["score"] for each in runs]
    results["tasks"][name] = {
        "command": command,
        "machine": describe_machine(),
        "settings": settings,
        "iqm": iqm(scores),
        "interval_95": list(bootstrap_interval(scores)),
        "floor_met": met_by(task, runs),
        **({"untrained": old["untrained"]} if "untrained" in old else {}),
        "runs": runs,
    }
    results["tasks"] = {key: results["tasks"][key] for key in tasks if key in results["tasks"]}
    store(path, results)


def play_untrained(table: Table, path: Path) -> None:
    """Store what chance and doing nothing score in the tasks of a table, where that is missing."""
    results = stored(path)
    for name, result in results["tasks"].items():
        if "untrained" not in result:
            task = table.tasks[name]
            result["untrained"] = untrained_scores(overrides_of(task), task.idle)
            store(path, results)


def record(name: str, folder: Path) -> None:
    """Keep the curve of one run, training returns included, as results/NAME.json and NAME.png."""
    rows = [row for row in read_rows(folder / "metrics.jsonl") if "rollout/ep_rew_mean" in row]
    typed = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text())
    kept = {
        "command": shlex.join(["a2c", "train", *(text for text in typed if not text.startswith(OF_THE_FOLDER))]),
        "machine": describe_machine(),
        **read_run(folder),
        "training": {
            "env_steps": [row["global_step"] for row in rows],
            "ep_rew_mean": [row["rollout/ep_rew_mean"] for row in rows],
        },
    }
    store(RESULTS / f"{name}.json", kept)
    shutil.copyfile(folder / "curve.png", RESULTS / f"{name}.png")


def train_all(names: list[str], jobs: int, runs_dir: Path, first: int | None = None, again: bool = False) -> None:
    """Train what is missing of these tasks, and store each run as it ends."""
    paths = {name: RESULTS / f"{table}.json" for table, found in TABLES.items() for name in found.tasks}
    tables = {name: found.tasks for found in TABLES.values() for name in found.tasks}
    results = {name: stored(paths[name]).get("tasks", {}).get(name, {}) for name in names}
    missing = {name: missing_seeds(TASKS[name], results[name], first, again) for name in names}
    remaining = Remaining({name: (overrides_of(TASKS[name]), results[name].get("runs", [])) for name in names}, jobs)
    print(remaining.of({name: len(seeds) for name, seeds in missing.items()}), flush=True)

    def train(name: str, seed: int) -> dict[str, Any]:
        return run_training([*overrides_of(TASKS[name]), f"seed={seed}"], label_of(name, seed), runs_dir)

    pool = ThreadPoolExecutor(jobs)
    try:
        runs = {pool.submit(train, name, seed): name for name, seeds in missing.items() for seed in seeds}
        for done in as_completed(runs):
            name, run = runs[done], done.result()
            keep(paths[name], tables[name], name, run, f"python benchmarks/learning.py --tasks {shlex.quote(name)}")
            missing[name].remove(run["seed"])
            remaining.measured(name, run["wall_seconds"])
            left = remaining.of({name: len(seeds) for name, seeds in missing.items()})
            score = f"{run['score']:.{TASKS[name].digits}f}"
            print(f"{name}, seed {run['seed']}: {score} in {run['wall_seconds']:.0f} s; {left}", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)  # after a failure or Ctrl-C, begin no other run


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict) and prefix + key != "env.kwargs":
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", type=int, help="the first seeds of each task alone; the others come another time")
    parser.add_argument("--again", action="store_true", help="train stored runs anew")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side; wall times are honest only with 1")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/bench-learning"))
    parser.add_argument("--draw", action="store_true", help="train nothing, draw the stored results again")
    parser.add_argument("--record", nargs=2, metavar=("NAME", "RUN"), help="keep the curve of one run")
    args = parser.parse_args()
    if args.record:
        record(args.record[0], Path(args.record[1]))
        write_page()
        return
    if not args.draw:
        train_all(args.tasks, args.jobs, args.runs_dir, args.seeds, args.again)
    for name, table in TABLES.items():
        if not stored(path := RESULTS / f"{name}.json"):
            continue
        if table.untrained:
            play_untrained(table, path)
        draw(table, stored(path), path)
        document = HERE.parent / table.document
        document.write_text(placed(path.with_suffix(".md").read_text(), name, document.read_text()))
    write_page()


if __name__ == "__main__":
    main()
