#!/usr/bin/env python3
"""How fast do we train compared with Stable-Baselines3 on the same work?

    make bench                                                    # everything, about 20 minutes on a quiet machine
    make bench ARGS="--works cartpole-16 --rounds 3 --seconds 2"  # a glance
    make bench ARGS="--device cuda"
    python benchmarks/speed.py --draw                             # table and chart again, from the stored results

First it finds Stable-Baselines3's fastest configuration (vector environment, torch threads); ours is not tuned. Then
both take turns, each measurement in a new process: A B C, C B A, ... The median of the ratios of pairs counts.
Writes benchmarks/results/speed_DEVICE.json and .png.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from processes import HERE, MeasurementError, command_line, measure, measured_or_stored, store, stored
from quiet import Quiet
from rounds import fastest, paired_ratios, spread, take_turns
from works import WAYS, WORKS, Work, missing_setting, settings

from a2c.machine.cores import usable_cores
from machine import describe_machine

Result = dict[str, Any]
Measure = Callable[[], Result]
PEER = "sb3"
HELP = f"works, with all our ways to do them: {', '.join(WORKS)}; or single ways: {', '.join(WAYS)}"


def peer_choices(work: Work, device: str, seconds: float) -> dict[str, Measure]:
    """Every configuration of Stable-Baselines3 that could be its fastest, by name."""
    size = (work.env, f"--num-envs={work.num_envs}", f"--n-step={work.n_step}", f"--device={device}")
    return {
        f"{vec}, {threads} thread{'s' if threads > 1 else ''}": partial(
            measure, "peer_sb3.py", *size, f"--vec={vec}", f"--threads={threads}", f"--seconds={seconds}"
        )
        for vec in ("dummy", "subproc")
        for threads in sorted({1, usable_cores()})
    }


def choose_peer(work: Work, args: argparse.Namespace) -> tuple[Result, Measure | None]:
    """Stable-Baselines3's fastest configuration with all that were tried, and how to measure it; None if all failed."""
    try:
        choice, speeds, failures = fastest(peer_choices(work, args.device, args.seconds / 2))
    except MeasurementError as error:
        return {"skipped": str(error)}, None
    print(f"{work.title}: Stable-Baselines3 is fastest with {choice}: {speeds[choice]:,.0f} steps/s", flush=True)
    kept = {"choice": choice, "tried": speeds, "failed": failures}
    return kept, peer_choices(work, args.device, args.seconds)[choice]


def run_work(name: str, ways: list[str], args: argparse.Namespace) -> dict[str, Result]:
    """Measure all rounds of one work; returns its rows of the table."""
    rows: dict[str, Result] = {}
    measures: dict[str, Measure] = {}
    limits: dict[str, Measure] = {}
    peer, measure_peer = choose_peer(WORKS[name], args)
    if measure_peer is not None:
        measures[PEER] = measure_peer
    for way in ways:
        overrides, seconds = [*settings(WAYS[way], args.device), *args.set], f"--seconds={args.seconds}"
        rows[way] = {"overrides": overrides}
        measures[way] = partial(measure, "our_speed.py", *overrides, seconds)
        limits[limit_of(way)] = partial(measure, "our_speed.py", *overrides, seconds, "--random")
    quiet = Quiet()
    found, failures = take_turns(measures | limits, args.rounds, quiet.look)
    for way in ways:
        on_two_cores = args.device == "cpu"
        rows[way] |= {
            "floor": WAYS[way].floor if on_two_cores else None,
            "aim": WAYS[way].aim if on_two_cores else None,
            **({"skipped": failures[way]} if way in failures else {}),
            **row(found.get(way), found.get(PEER)),
            "limit": speed_of(found.get(limit_of(way)), failures.get(limit_of(way))),
            "sb3": peer | speed_of(found.get(PEER), failures.get(PEER)),
            "quiet": {"busy_looks": quiet.busy, "looks": quiet.looks},
        }
    return rows


def limit_of(way: str) -> str:
    """The name of the measurement of a way's environments alone."""
    return f"{way} limit"


def row(ours: list[Result] | None, theirs: list[Result] | None) -> Result:
    """Our figures from the rounds, and the ratio to theirs; leaves out what is missing."""
    found: Result = {}
    if ours:
        found["ours"] = speed_of(ours)
        shares = [one["share"] for one in ours]
        found["share"] = {part: spread([share[part] for share in shares])["median"] for part in shares[0]}
    if ours and theirs:
        ratios = paired_ratios(*([one["steps_per_second"] for one in side] for side in (ours, theirs)))
        found["ratio"] = {**spread(ratios), "pairs": ratios}
    return found


def speed_of(rounds: list[Result] | None, failure: str | None = None) -> Result:
    """Steps per second over the rounds, with every round in full; or why there are none."""
    if rounds:
        return {"steps_per_second": spread([one["steps_per_second"] for one in rounds]), "rounds": rounds}
    return {"skipped": failure} if failure else {}


def run(args: argparse.Namespace, path: Path) -> None:
    """Measure the works asked for and store after each."""
    chosen = [name for name in WAYS if name in args.works or WAYS[name].work in args.works]
    origin = {
        "command": command_line(sys.argv[1:], "speed.py"),
        "date": time.strftime("%Y-%m-%d"),
        "device": args.device,
        "rounds": args.rounds,
        "seconds": args.seconds,
        "machine": describe_machine(),
    }
    for work in WORKS:
        ways = [name for name in chosen if WAYS[name].work == work]
        unknown = {name: reason for name in ways if (reason := missing_setting(WAYS[name]))}
        rows: dict[str, Result] = {name: {"skipped": reason} for name, reason in unknown.items()}
        if known := [name for name in ways if name not in unknown]:
            rows |= run_work(work, known, args)
        kept = stored(path).get("rows", {}) | {name: origin | found for name, found in rows.items()}
        store(path, {"rows": {name: kept[name] for name in WAYS if name in kept}})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", choices=[*WAYS], default=list(WORKS), metavar="NAME", help=HELP)
    parser.add_argument("--rounds", type=int, default=5, help="an odd number, so that a median is a measurement")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement; a tenth more warms up")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for both sides")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="more settings for our side")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the results")
    parser.add_argument("--draw", action="store_true", help="measure nothing, show the stored results again")
    args = parser.parse_args()
    if args.rounds % 2 == 0:
        parser.error(f"--rounds {args.rounds} is even")
    path = args.out / f"speed_{args.device}.json"
    results = measured_or_stored(parser, args, path, run)

    from speed_report import draw, show

    show(results)
    print(draw(results, path.with_suffix(".png")))


if __name__ == "__main__":
    main()
