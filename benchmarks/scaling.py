#!/usr/bin/env python3
"""Does the cost grow at most linearly with more environments, longer rollouts and larger networks?

    make bench-scaling
    make bench-scaling ARGS="--rounds 1 --seconds 0.2 --quick"
    make bench-scaling ARGS="--device cuda"
    python benchmarks/scaling.py --draw            # chart again, from the stored results

It trains on Gymnasium's numpy CartPole, which costs next to nothing, so that the rest is ours. The overhead is all time
that is not the environment's. Every size runs in a new process; sizes take turns over the rounds.
Writes benchmarks/results/scaling.json and .png, with --device cuda scaling_cuda.json and .png.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any

from processes import HERE, command_line, measure, measured_or_stored, store
from quiet import Quiet
from rounds import loglog_slope, take_turns

from machine import describe_machine

Result = dict[str, Any]
BASE = {"num_envs": 64, "n_step": 5, "hidden": 64}  # each one's value while another varies
SIZES = {
    "num_envs": (1, 4, 16, 64, 256, 1024, 4096),
    "n_step": (1, 5, 20, 80),
    "hidden": (32, 64, 128, 256, 512, 1024),
}
QUICK = {"num_envs": (1, 8), "n_step": (1, 4), "hidden": (32, 64)}
LARGE = 3  # how many of the largest sizes count as large
LINEAR = 1.05  # the steepest slope that we call linear: figures scatter by some percent


def overrides(axis: str, size: int, device: str) -> list[str]:
    """The settings of one point."""
    point = BASE | {axis: size}
    return [
        "env.id=CartPole-v1",
        "algo=a2c_paper",
        f"num_envs={point['num_envs']}",
        f"n_step={point['n_step']}",
        f"network.hidden_sizes=[{point['hidden']},{point['hidden']}]",
        "vectorization=native",
        f"device={device}",
    ]


def costs(found: list[Result]) -> Result:
    """One point from its rounds: medians of speed, overhead and memory."""
    one = found[0]

    def median(value: Callable[[Result], float]) -> float:
        return statistics.median(value(each) for each in found)

    per_update = median(lambda each: (1 - each["share"]["env"]) * each["seconds"] / each["updates"])
    per_step = per_update / one["n_step"]
    return {
        "steps_per_second": median(lambda each: each["steps_per_second"]),
        "overhead_us_per_update": per_update * 1e6,
        "overhead_us_per_step": per_step * 1e6,  # of a lockstep step of all environments
        "overhead_us_per_env_step": per_step * 1e6 / one["num_envs"],
        "peak_rss_mb": median(lambda each: each["peak_rss_mb"]),
        "peak_gpu_mb": one["peak_gpu_mb"],
        "weights": one["weights"],
        "rounds": found,
    }


def growth(axis: str, points: dict[str, Result]) -> Result:
    """Exponents of the growth of an update's cost and of memory: over all sizes, over the large ones, between two.

    The fixed cost of a call flattens the growth among small sizes, so the large ones must be linear too. The size of a
    network is its number of weights, since its arithmetic is proportional to that.
    """
    sizes = [float(point["weights"]) if axis == "hidden" else float(size) for size, point in points.items()]
    memory = "peak_gpu_mb" if all(point["peak_gpu_mb"] for point in points.values()) else "peak_rss_mb"
    found: Result = {"against": "weights" if axis == "hidden" else axis}
    for name, key in (("overhead", "overhead_us_per_update"), ("memory", memory)):
        values = [point[key] for point in points.values()]
        steps = [(log(b / a), log(y / x)) for (a, b), (x, y) in zip(pairwise(sizes), pairwise(values), strict=True)]
        slope, large = loglog_slope(sizes, values), loglog_slope(sizes[-LARGE:], values[-LARGE:])
        found[name] = {
            "slope": slope,
            "slope_of_large": large,
            "steepest": max(rise / run for run, rise in steps),
            "linear_at_most": max(slope, large) <= LINEAR,
        }
    return found


def run(args: argparse.Namespace, path: Path) -> None:
    """Measure every size and store after each axis."""
    origin = {
        "command": command_line(sys.argv[1:], "scaling.py"),
        "date": time.strftime("%Y-%m-%d"),
        "device": args.device,
        "machine": describe_machine(),
        "base": BASE,
    }
    results: Result = origin | {"axes": {}}
    for axis, sizes in (QUICK if args.quick else SIZES).items():
        quiet = Quiet()
        measures = {
            str(size): partial(
                measure, "our_speed.py", *overrides(axis, size, args.device), *args.set, f"--seconds={args.seconds}"
            )
            for size in sizes
        }
        found, failures = take_turns(measures, args.rounds, quiet.look)
        points = {size: costs(rounds) for size, rounds in found.items()}
        results["axes"][axis] = {
            "points": points,
            "growth": growth(axis, points) if len(points) > 1 else None,
            "failed": failures,
            "quiet": {"busy_looks": quiet.busy, "looks": quiet.looks},
        }
        store(path, results)


def show(results: Result) -> None:
    """Print a line for each point and the slopes of each axis."""
    for axis, found in results["axes"].items():
        for size, point in found["points"].items():
            print(
                f"{axis}={size}: {point['steps_per_second']:,.0f} steps/s; "
                f"overhead {point['overhead_us_per_step']:.1f} us a lockstep step, "
                f"{point['overhead_us_per_env_step']:.2f} us an environment's; {point['peak_rss_mb']:.0f} MB"
            )
        for size, reason in found["failed"].items():
            print(f"{axis}={size}: failed: {reason}")
        for name in ("overhead", "memory") if found["growth"] else ():
            slope = found["growth"][name]
            verdict = "linear at most" if slope["linear_at_most"] else "steeper than linear"
            print(
                f"  {name} grows as {found['growth']['against']}^{slope['slope']:.2f} "
                f"(large sizes: {slope['slope_of_large']:.2f}; between two: up to {slope['steepest']:.2f}): {verdict}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="an odd number, so that a median is a measurement")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement; a tenth more warms up")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="more settings")
    parser.add_argument("--quick", action="store_true", help="two sizes each, to see that it works")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the results")
    parser.add_argument("--draw", action="store_true", help="measure nothing, show the stored results again")
    args = parser.parse_args()
    path = args.out / ("scaling.json" if args.device == "cpu" else f"scaling_{args.device}.json")
    results = measured_or_stored(parser, args, path, run)

    from scaling_chart import draw

    show(results)
    print(draw(results, path.with_suffix(".png")))


if __name__ == "__main__":
    main()
