#!/usr/bin/env python3
"""Do the presets learn? Trains every preset over several seeds and scores the best checkpoints.

    make bench-learning                                   # everything: hours of one core
    python benchmarks/learning.py --tasks cartpole        # one preset
    python benchmarks/learning.py --draw                  # tables and curves again, from the stored results
    python benchmarks/learning.py --record pong runs/latest   # keep the curve of one long run

Every run is what `a2c train env=NAME seed=S` makes; its score is the mean return of 20 greedy episodes of the best
checkpoint, on seeds that neither training nor the choice of the checkpoint has seen. Writes
benchmarks/results/learning.json, learning.md and learning.png.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from processes import child_environment

from a2c.run.showing.learning_curves import draw_learning_curves
from a2c.run.statistics import bootstrap_interval, iqm
from a2c.storage.metrics_file import read_rows
from machine import describe_machine

RESULTS = Path(__file__).parent / "results"
STORED = RESULTS / "learning.json"


@dataclass(frozen=True)
class Task:
    """What a preset must reach: `needed` of the seeds reach the floor."""

    seeds: range
    needed: int
    floor: float
    aim: float
    zoo: float  # RL Zoo's A2C, one run
    zoo_std: float
    preset: str = ""  # of the environment, where it is not the task's name
    more: tuple[str, ...] = ()


TASKS = {
    "cartpole": Task(range(10), 10, 475, 500, 500, 0),
    "cartpole ac": Task(range(5), 4, 475, 500, 500, 0, "cartpole", ("algo=ac",)),
    "cartpole a3c": Task(range(5), 5, 475, 500, 500, 0, "cartpole", ("algo=a3c", "num_workers=4")),
    "acrobot": Task(range(5), 4, -100, -83, -83.4, 17),
    "mountaincar": Task(range(5), 4, -130, -111, -111.3, 24),
    "pendulum": Task(range(5), 4, -250, -163, -163, 103),
    "lunarlander": Task(range(5), 4, 100, 200, 155.8, 80),
}


def train(name: str, seed: int, runs_dir: Path) -> dict[str, Any]:
    """Train one run of a task; returns what :func:`read_run` does."""
    task, label = TASKS[name], f"bench-{name.replace(' ', '-')}-seed{seed}"
    return run_training([f"env={task.preset or name}", *task.more, f"seed={seed}"], label, runs_dir)


def run_training(overrides: list[str], label: str, runs_dir: Path) -> dict[str, Any]:
    """Train one run in a new process, which can import files of this folder; returns what :func:`read_run` does."""
    # Results do not depend on the vectorization; several runs share the cores best with one process each.
    quiet = [f"runs_dir={runs_dir}", "gif=false", "wandb.mode=disabled", "vectorization=sync", "threads=1"]
    runs_dir.mkdir(parents=True, exist_ok=True)
    before = set(runs_dir.glob(f"*/*_{label}*"))
    log = runs_dir / f"{label}.log"
    with log.open("w") as output:
        command = [sys.executable, "-m", "a2c", "train", *overrides, *quiet, f"name={label}"]
        code = subprocess.run(
            command, stdout=output, stderr=subprocess.STDOUT, check=False, env=child_environment()
        ).returncode
    made = list(set(runs_dir.glob(f"*/*_{label}*")) - before)
    if code != 0 or len(made) != 1:
        raise SystemExit(f"{' '.join(command)} ended with {code}; see {log}")
    return read_run(made[0])


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


def record(name: str, folder: Path) -> None:
    """Keep the curve of one run, training returns included, as results/NAME.json and NAME.png."""
    rows = [row for row in read_rows(folder / "metrics.jsonl") if "rollout/ep_rew_mean" in row]
    kept = {
        "command": "a2c train " + " ".join(yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text())),
        "machine": describe_machine(),
        **read_run(folder),
        "training": {
            "env_steps": [row["global_step"] for row in rows],
            "ep_rew_mean": [row["rollout/ep_rew_mean"] for row in rows],
        },
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
    shutil.copyfile(folder / "curve.png", RESULTS / f"{name}.png")


def table(results: dict[str, Any]) -> str:
    """The README's table, in Markdown."""
    lines = [
        "| preset | seeds | steps | IQM [95 % interval] | worst seed | floor | RL Zoo A2C (steps) | seconds a run |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, result in results["tasks"].items():
        task, runs = TASKS[name], result["runs"]
        scores = [run["score"] for run in runs]
        low, high = bootstrap_interval(scores)
        met = sum(score >= task.floor for score in scores)
        steps = max(run["env_steps"] for run in runs)
        seconds = sorted(run["wall_seconds"] for run in runs)[len(runs) // 2]
        lines.append(
            f"| {name} | {len(scores)} | {round(steps / 1e6, 1):g}M | **{iqm(scores):.1f}** [{low:.1f}, {high:.1f}] "
            f"| {min(scores):.1f} | {task.floor:g}: {met} of {len(scores)} | {task.zoo:g} ± {task.zoo_std:g} "
            f"({ZOO_STEPS[task.preset or name]}) | {seconds:.0f} |"
        )
    return "\n".join(lines) + "\n"


ZOO_STEPS = {"cartpole": "0.5M", "acrobot": "0.5M", "mountaincar": "1M", "pendulum": "1M", "lunarlander": "0.2M, v2"}


def draw(results: dict[str, Any]) -> None:
    """Write table and curves of stored results."""
    (RESULTS / "learning.md").write_text(table(results))
    print(table(results))
    curves = {
        name: {
            "env_steps": result["runs"][0]["curve"]["env_steps"],
            "scores": [run["curve"]["eval_mean"] for run in result["runs"]],
            "floor": TASKS[name].floor,
            "aim": TASKS[name].aim,
            "zoo": TASKS[name].zoo,
        }
        for name, result in results["tasks"].items()
    }
    print(draw_learning_curves(curves, RESULTS / "learning.png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side; wall times are honest only with 1")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/bench-learning"))
    parser.add_argument("--draw", action="store_true", help="train nothing, draw the stored results again")
    parser.add_argument("--record", nargs=2, metavar=("NAME", "RUN"), help="keep the curve of one run")
    args = parser.parse_args()
    if args.record:
        record(args.record[0], Path(args.record[1]))
        return
    results: dict[str, Any] = json.loads(STORED.read_text()) if STORED.exists() else {"tasks": {}}
    if not args.draw:
        for name in args.tasks:
            with ThreadPoolExecutor(args.jobs) as pool:
                runs = list(pool.map(lambda seed, name=name: train(name, seed, args.runs_dir), TASKS[name].seeds))
            scores = [run["score"] for run in runs]
            met = sum(score >= TASKS[name].floor for score in scores)
            print(f"{name}: IQM {iqm(scores):.1f}, floor {TASKS[name].floor:g} met by {met} of {len(runs)}", flush=True)
            results["tasks"][name] = {
                "command": f"python benchmarks/learning.py --tasks {shlex.quote(name)} --jobs {args.jobs}",
                "machine": describe_machine(),
                "iqm": iqm(scores),
                "interval_95": list(bootstrap_interval(scores)),
                "floor_met": met,
                "runs": runs,
            }
            results["tasks"] = {key: results["tasks"][key] for key in TASKS if key in results["tasks"]}
            RESULTS.mkdir(exist_ok=True)
            STORED.write_text(json.dumps(results, indent=1) + "\n")
    draw(results)


if __name__ == "__main__":
    main()
