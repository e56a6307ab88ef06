#!/usr/bin/env python3
"""What does evaluation in a process of its own save? Whole trainings with each value of eval.apart, in turns.

    make bench-evaluation
    python benchmarks/evaluation_apart.py --rounds 8 --overrides env=cartpole_study seed=1

Measured from the start of the program to its end, and to the moment when the score of the goal is on disk. Writes
benchmarks/results/evaluation_apart.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from processes import HERE, MeasurementError, child_environment, command_line, store
from quiet import Quiet
from rounds import spread, take_turns
from time_to_score import Goal, stop, watch

from a2c.study.measures.paired import ratio
from machine import describe_machine

CHOICES = ("false", "auto", "true")
ALWAYS = ("device=cpu", "wandb.mode=disabled", "gif=false")
LIMIT = 1800.0  # seconds


def training(choice: str, overrides: list[str], goal: Goal) -> dict[str, Any]:
    """Train once; seconds to the ``end``, and to the ``goal`` (None: not reached).

    Raises:
        MeasurementError: the program failed or took too long.
    """
    with tempfile.TemporaryDirectory() as folder:
        log, runs = Path(folder) / "train.log", Path(folder) / "runs"
        settings = [*ALWAYS, *overrides, f"eval.apart={choice}", f"runs_dir={runs}"]
        begin = time.perf_counter()
        with log.open("w") as output:
            program = subprocess.Popen(
                [sys.executable, "-m", "a2c", "train", *settings],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=child_environment(),
            )
        try:
            curve = watch(program, runs, goal, begin, LIMIT)
            code = program.wait(LIMIT)
        except subprocess.TimeoutExpired as error:
            raise MeasurementError(f"not done after {LIMIT:g} s") from error
        finally:
            stop(program)
        end = time.perf_counter() - begin
        if code != 0:
            raise MeasurementError(f"a2c train ended with {code}: {log.read_text(errors='replace').strip()[-200:]}")
    reached = curve and (curve[-1].get(goal.metric) or -float("inf")) >= goal.value
    return {"end": end, "goal": curve[-1]["seconds"] if reached else None}


def summarized(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Seconds of every choice and, paired by round, how many times as long as with ``false`` it takes."""
    results: dict[str, Any] = {}
    for choice, trainings in found.items():
        results[choice] = {}
        for what in ("end", "goal"):
            seconds = [one[what] for one in trainings]
            if None in seconds:
                continue
            results[choice][what] = {"seconds": seconds, **spread(seconds)}
            base = [one[what] for one in found.get("false", [])]
            if choice != "false" and len(base) == len(seconds) > 1 and None not in base:
                estimate = ratio(seconds, base)
                results[choice][what]["times false"] = [estimate.value, estimate.low, estimate.high]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--overrides", nargs="+", default=["env=cartpole_study", "seed=1"], help="of a2c train")
    parser.add_argument("--goal", type=float, default=475.0, help="eval/mean_reward")
    parser.add_argument("--rounds", type=int, default=8, help="trainings with each choice")
    parser.add_argument("--choices", nargs="+", default=list(CHOICES), choices=CHOICES)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "evaluation_apart.json")
    args = parser.parse_args()
    quiet, goal = Quiet(), Goal("eval/mean_reward", args.goal)
    measures = {choice: partial(training, choice, args.overrides, goal) for choice in args.choices}
    found, failures = take_turns(measures, args.rounds, quiet.look)
    results = summarized(found)
    for choice, figures in results.items():
        for what, figure in figures.items():
            low, high = figure["low"], figure["high"]
            times = "".join(f"  {value:.3f}" for value in figure.get("times false", []))
            print(f"{choice:6} to the {what}: {figure['median']:.2f} s [{low:.2f}, {high:.2f}]{times}", flush=True)
    origin = {"command": command_line(sys.argv[1:], "evaluation_apart.py"), "machine": describe_machine()}
    about = {"overrides": [*ALWAYS, *args.overrides], "goal": args.goal, "rounds": args.rounds}
    store(args.out, {**origin, **about, "busy looks": quiet.busy, "failed": failures, "results": results})


if __name__ == "__main__":
    main()
