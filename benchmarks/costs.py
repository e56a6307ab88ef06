#!/usr/bin/env python3
"""What do a memory, and observations of several parts, cost? The same training with and without takes turns.

    make bench-costs
    python benchmarks/costs.py --works lstm --width 0.1

Measured as by before_after.py: rounds of six turns of half a second each, new processes for every round, until the 95 %
interval of the ratio of steps per second is narrow; the training without stands on either side of the one with, and the
two of the same settings are compared as well. Writes benchmarks/results/costs.json.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from before_after import SIDES, compared, trained
from processes import HERE, command_line, store, stored
from quiet import Quiet
from works import SAME_WORK

from machine import describe_machine

COMMON = ("num_envs=16", "vectorization=sync", "threads=1", "device=cpu", *SAME_WORK)


@dataclass(frozen=True, slots=True)
class Cost:
    """Settings of a training, without and with what is measured, and the least ratio of their speeds."""

    without: tuple[str, ...]
    added: tuple[str, ...]
    floor: float


COSTS = {
    "lstm": Cost(("env.id=CartPole-v1",), ("env.id=CartPole-v1", "network.memory=lstm"), 0.4),
    "gru": Cost(("env.id=CartPole-v1",), ("env.id=CartPole-v1", "network.memory=gru"), 0.4),
    "dict": Cost(("env.id=cartpole_views:WholeCartPole-v1",), ("env.id=cartpole_views:DictCartPole-v1",), 0.9),
    # The environment's own making of a dict is in this one.
    "dict, made too": Cost(("env.id=CartPole-v1",), ("env.id=cartpole_views:DictCartPole-v1",), 0.8),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", default=list(COSTS), choices=COSTS)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each turn")
    parser.add_argument("--width", type=float, default=0.03, help="of the 95 %% interval of the ratio")
    parser.add_argument("--most", type=int, default=60, help="rounds, however wide the interval still is")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "costs.json")
    args = parser.parse_args()
    quiet, origin = Quiet(), {"command": command_line(sys.argv[1:], "costs.py"), "machine": describe_machine()}
    for name in args.works:
        cost = COSTS[name]
        settings = dict(zip(SIDES, (cost.without, cost.added, cost.without), strict=True))
        sides = {side: (HERE.parent, (*own, *COMMON)) for side, own in settings.items()}
        found = compared(partial(trained, sides, args.seconds), args.width, args.most, quiet)
        found = renamed(found)
        results = stored(args.out).get("works", {}) | {name: {"floor": cost.floor, **found}}
        store(args.out, {**origin, "busy looks": quiet.busy, "works": results})
        print(name, *(f"{key}: {value}" for key, value in list(results[name].items())[:4]), sep="  ", flush=True)


def renamed(found: dict[str, Any]) -> dict[str, Any]:
    """What was compared, by the names that it has here: ``with / without`` for ``after / before``."""
    return {
        key.replace("before", "without").replace("after", "with"): renamed(value) if isinstance(value, dict) else value
        for key, value in found.items()
    }


if __name__ == "__main__":
    main()
