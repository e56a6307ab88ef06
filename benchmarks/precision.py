#!/usr/bin/env python3
"""Does bf16 learn as well as float32? The same runs in both precisions, over several seeds.

    make bench-precision                              # about twenty minutes of one core
    make bench-precision ARGS="--works catch --seeds 5"

CartPole trains a perceptron, Catch (benchmarks/catch.py) the NatureCNN from pixels. Each run gives two numbers: its
score, as in learning.py, and the mean of its evaluations, which shows slower learning that ends at the same score. bf16
is on a par where the 95 % interval of the difference of the IQMs lies within the margin. Writes
benchmarks/results/precision.json.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from processes import HERE, command_line, store, stored

from a2c.run.statistics import bootstrap_interval, iqm
from a2c.study.measures.scores import iqm_difference
from learning import run_training
from machine import describe_machine

Result = dict[str, Any]
PRECISIONS = ("float32", "bf16")
MARGIN = 0.05  # of the range of returns: a larger difference matters


@dataclass(frozen=True)
class Work:
    """What to learn, and the lowest and highest possible return."""

    overrides: tuple[str, ...]
    lowest: float
    highest: float


WORKS = {
    "cartpole": Work(("env=cartpole_study",), 0.0, 500.0),
    "catch": Work(
        (
            "env.id=catch:Catch-v0",
            "algo=a2c_paper",
            "total_steps=30_000",
            "optimizer=adam",
            "lr=5e-4",
            "eval.every=2_500",
            "eval.episodes=20",
            "log_every=2_500",
        ),
        -1.0,
        1.0,
    ),
}


def run(name: str, precision: str, seed: int, runs_dir: Path) -> Result:
    """One run: its score and the mean of its evaluations."""
    overrides = [*WORKS[name].overrides, f"precision={precision}", f"seed={seed}"]
    found = run_training(overrides, f"precision-{name}-{precision}-seed{seed}", runs_dir)
    return found | {"mean_over_training": statistics.fmean(found["curve"]["eval_mean"])}


def compare(work: Work, runs: dict[str, list[Result]]) -> Result:
    """Compare bf16 with float32 in both numbers."""
    found: Result = {}
    for measure in ("score", "mean_over_training"):
        values = {precision: [run[measure] for run in runs[precision]] for precision in PRECISIONS}
        difference = iqm_difference(values["bf16"], values["float32"])
        limit = MARGIN * (work.highest - work.lowest)
        found[measure] = {
            **{key: {"iqm": iqm(each), "interval_95": list(bootstrap_interval(each))} for key, each in values.items()},
            "difference": asdict(difference),
            "margin": limit,
            "on_a_par": -limit <= difference.low and difference.high <= limit,
        }
    return found


def show(results: Result) -> None:
    """Print two lines for each work."""
    for name, row in results["works"].items():
        for measure, found in row["compared"].items():
            each = ", ".join(f"{precision} {found[precision]['iqm']:.3f}" for precision in PRECISIONS)
            gap = found["difference"]
            verdict = "on a par" if found["on_a_par"] else "not shown to be on a par"
            print(
                f"{name}, {measure.replace('_', ' ')} ({len(row['runs']['bf16'])} seeds): {each}; difference "
                f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}], margin {found['margin']:g}: {verdict}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/bench-precision"))
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the results")
    args = parser.parse_args()
    path = args.out / "precision.json"
    results: Result = {"works": {}} | stored(path)
    for name in args.works:
        runs: dict[str, list[Result]] = {precision: [] for precision in PRECISIONS}
        for seed in range(args.seeds):
            for precision in PRECISIONS:
                runs[precision].append(run(name, precision, seed, args.runs_dir))
        results["works"][name] = {
            "command": command_line(sys.argv[1:], "precision.py"),
            "date": time.strftime("%Y-%m-%d"),
            "machine": describe_machine(),
            "compared": compare(WORKS[name], runs),
            "runs": runs,
        }
        store(path, results)
    show(results)


if __name__ == "__main__":
    main()
