#!/usr/bin/env python3
"""How long from the start of `a2c train env=cartpole` until an evaluation says 475? Over ten seeds, one after another.

    make bench-time

The clock runs from the start of the process, imports and evaluations included. The setting that differs from the preset
is `eval.every`: who does not look cannot know. Writes benchmarks/results/cartpole_time.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from processes import HERE, command_line, store
from quiet import Quiet
from time_to_score import Goal, train_until

from machine import describe_machine

GOAL = Goal("eval/mean_reward", 475)
SETTINGS = ("env=cartpole", "eval.every=5_000", "gif=false", "wandb.mode=disabled", "device=cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "cartpole_time.json")
    args = parser.parse_args()
    quiet, runs = Quiet(), []
    for seed in range(args.seeds):
        quiet.look()
        run = train_until(GOAL, [*SETTINGS, f"seed={seed}"], limit=60)
        runs.append({"seed": seed, **{key: run[key] for key in ("reached", "seconds", "env_steps")}})
        print(runs[-1], flush=True)
    seconds = [run["seconds"] for run in runs if run["reached"]]
    found = {
        "command": command_line(sys.argv[1:], "cartpole_time.py"),
        "machine": describe_machine(),
        "busy looks": quiet.busy,
        "settings": list(SETTINGS),
        "reached": f"{len(seconds)} of {len(runs)}",
        "median seconds of those": statistics.median(seconds) if seconds else None,
        "runs": runs,
    }
    store(args.out, found)
    print(found["reached"], found["median seconds of those"])


if __name__ == "__main__":
    main()
