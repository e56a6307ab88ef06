#!/usr/bin/env python3
"""How fast are environments alone, EnvPool's beside ours? Random actions, no learning.

    make bench-envpool                                                      # about 13 minutes on a quiet machine
    make bench-envpool ARGS="--works cartpole-16 --rounds 3 --seconds 0.5"  # a glance
    python benchmarks/envpool_speed.py --draw                               # the table again, from the stored results

Each side is stepped as in training. All ways of a work take turns, each measurement in a new process: A B C, C B A, ...
Transitions count: a row that a vector environment spends on a reset is none. EnvPool has to be installed (the extra
a2c[envpool]); without it the table has our side alone. Writes benchmarks/results/envpool.json, and prints a table in
Markdown.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from processes import HERE, command_line, measure, measured_or_stored, store, stored
from quiet import Quiet
from rounds import paired_ratios, spread, take_turns

from machine import describe_machine

Result = dict[str, Any]
THEIRS = {  # EnvPool, by how many threads step it
    "EnvPool": (),
    "EnvPool, 1 thread": ("num_workers=1",),
}
OURS = {
    "ours, auto": ("vectorization=auto",),
    "ours, this process": ("vectorization=sync",),
    "ours, workers": ("vectorization=workers",),
    "native": ("vectorization=native",),  # what Gymnasium or ale-py registers, as we step it
}


@dataclass(frozen=True, slots=True)
class Work:
    """An environment on both sides, and how many of it."""

    title: str
    ours: str
    theirs: str
    num_envs: int
    native: bool = True  # whether ours registers a vector environment of its own


WORKS = {  # both sides have the same defaults: frames skipped and stacked, screen, no-ops, no sticky actions
    "cartpole-16": Work("CartPole N=16", "CartPole-v1", "EnvPool/CartPole-v1", 16),
    "cartpole-128": Work("CartPole N=128", "CartPole-v1", "EnvPool/CartPole-v1", 128),
    "halfcheetah-16": Work("HalfCheetah N=16", "HalfCheetah-v5", "EnvPool/HalfCheetah-v5", 16, native=False),
    "pong-16": Work("Pong N=16", "ALE/Pong-v5", "EnvPool/Pong-v5", 16),
}


def ways(work: Work) -> dict[str, tuple[str, ...]]:
    """The settings of every way to step a work, by name."""
    ours = {name: added for name, added in OURS.items() if work.native or name != "native"}
    return {
        name: (f"env.id={env}", "algo=a2c_paper", f"num_envs={work.num_envs}", "device=cpu", *added)
        for env, side in ((work.theirs, THEIRS), (work.ours, ours))
        for name, added in side.items()
    }


def compare(work: Work, rounds: int, seconds: float) -> Result:
    """Measure all rounds of one work."""
    quiet = Quiet()
    measures = {
        name: partial(measure, "our_speed.py", *overrides, "--random", f"--seconds={seconds}")
        for name, overrides in ways(work).items()
    }
    found, failures = take_turns(measures, rounds, quiet.look)
    speeds = {name: [one["transitions_per_second"] for one in looks] for name, looks in found.items()}
    return {
        "num_envs": work.num_envs,
        "overrides": ways(work),
        "transitions_per_second": {name: {**spread(found), "rounds": found} for name, found in speeds.items()},
        "ratio": ratio(speeds),
        "failed": failures,
        "quiet": {"busy_looks": quiet.busy, "looks": quiet.looks},
    }


def ratio(speeds: dict[str, list[float]]) -> Result | None:
    """Our quickest way over EnvPool's, pair by pair; None where a side has no figure."""
    sides = [[name for name in side if name in speeds] for side in (OURS, THEIRS)]
    if not all(sides):
        return None
    ours, theirs = (max(side, key=lambda name: spread(speeds[name])["median"]) for side in sides)
    pairs = paired_ratios(speeds[ours], speeds[theirs])
    return {**spread(pairs), "pairs": pairs, "ours": ours, "theirs": theirs}


def table(works: dict[str, Result]) -> str:
    """The results in Markdown: a row for each work, transitions a second."""
    names = [*THEIRS, *OURS]
    lines = [["work", *names, "our quickest / EnvPool's"], ["---"] * (len(names) + 2)]
    for name, row in works.items():
        speeds, best = row["transitions_per_second"], row["ratio"]
        cells = [f"{speeds[way]['median']:,.0f}" if way in speeds else "-" for way in names]
        compared = "-" if best is None else f"**{best['median']:.2f}** [{best['low']:.2f}, {best['high']:.2f}]"
        lines.append([WORKS[name].title, *cells, compared])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines).replace("| --- ", "|---").replace("|--- |", "|---|")


def run(args: argparse.Namespace, path: Path) -> None:
    """Measure the works asked for, and store after each."""
    origin = {
        "command": command_line(sys.argv[1:], "envpool_speed.py"),
        "date": time.strftime("%Y-%m-%d"),
        "rounds": args.rounds,
        "seconds": args.seconds,
        "machine": describe_machine(),
    }
    for name in args.works:
        found = origin | compare(WORKS[name], args.rounds, args.seconds)
        kept = stored(path).get("works", {}) | {name: found}
        store(path, {"works": {name: kept[name] for name in WORKS if name in kept}})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--rounds", type=int, default=5, help="an odd number, so that a median is a measurement")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement; a tenth more warms up")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the results")
    parser.add_argument("--draw", action="store_true", help="measure nothing, show the stored results again")
    args = parser.parse_args()
    if args.rounds % 2 == 0:
        parser.error(f"--rounds {args.rounds} is even")
    works = measured_or_stored(parser, args, args.out / "envpool.json", run)["works"]
    print(table(works))
    for name, row in works.items():
        for way, reason in row["failed"].items():
            print(f"{WORKS[name].title}: no figure of {way}: {reason}")
        if row["quiet"]["busy_looks"]:
            looks = len(row["quiet"]["looks"])
            print(f"{WORKS[name].title}: the machine was busy before {row['quiet']['busy_looks']} of {looks} rounds")


if __name__ == "__main__":
    main()
