"""Is it as fast as before? This checkout and another one of this project take turns.

    git worktree add ../before COMMIT
    python benchmarks/before_after.py --before ../before           # make bench-refactor ARGS="--before ../before"

Each round measures the other checkout, this one, and the other one again: this one beside the mean of those on its two
sides, and the two of the same code beside each other. Trainings stand ready and take turns of half a second, and start
anew for every round of six turns: two processes of the same code differ by some percent from their start to their end.
Rounds go on until the 95 % interval of the ratio is narrow. Both checkouts train the same works with the same settings,
at the steps per second that `a2c train` has between evaluations.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from processes import HERE, MeasurementError, command_line, store, stored
from quiet import Quiet
from rounds import take_turns
from turns import Side, trainings
from works import SAME_WORK

from a2c.study.measures.gradients import Estimate
from a2c.study.measures.paired import geometric_mean, ratio
from machine import describe_machine

SIDES = ("before", "after", "before again")
LEAST, STEP = 5, 2  # rounds at first, and more rounds at a time
TURNS = 6  # of each training in a round
WORKS = {  # hybrid is workers with main_shard=true, under the name that earlier checkouts know too
    "cartpole-16": ("env.id=CartPole-v1", "num_envs=16", "vectorization=sync"),
    "cartpole-128-sync": ("env.id=CartPole-v1", "num_envs=128", "vectorization=sync"),
    "cartpole-128": ("env.id=CartPole-v1", "num_envs=128", "vectorization=hybrid", "num_workers=1"),
    "device-cartpole-1024": ("env=cartpole_device",),
    "pong-16": ("env.id=ALE/Pong-v5", "num_envs=16", "vectorization=hybrid", "num_workers=1", "env.clip_reward=true"),
    "halfcheetah-16": ("env.id=HalfCheetah-v5", "num_envs=16", "vectorization=hybrid", "num_workers=1"),
    "pong-16-native": ("env.id=ALE/Pong-v5", "num_envs=16", "vectorization=native", "env.clip_reward=true"),
}
STARTS = {  # arguments of Python, for a whole process
    "import a2c": ("-c", "import a2c"),
    "a2c --help": ("-m", "a2c", "--help"),
}
START_TURNS = 20  # processes in one measurement


def starts(root: Path, command: tuple[str, ...]) -> float:
    """Processes per second of the checkout in ``root``, one after the other."""
    program = f"""
import subprocess, sys, time
begin = time.perf_counter()
for _ in range({START_TURNS}):
    subprocess.run([sys.executable, *{command!r}], check=True, stdout=subprocess.DEVNULL)
print({START_TURNS} / (time.perf_counter() - begin))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{root}/src"},
    )
    return float(done.stdout)


def trained(sides: Mapping[str, Side], seconds: float, turn: int) -> dict[str, float]:
    """One round: the geometric mean of each side's turns, in steps per second.

    Raises:
        MeasurementError: a training failed.
    """
    with trainings(sides) as ready:
        rounds, failures = take_turns({side: partial(one.turn, seconds) for side, one in ready.items()}, TURNS)
    if failures:
        raise MeasurementError("; ".join(failures.values()))
    return {side: geometric_mean(speeds).value for side, speeds in rounds.items()}


def started(measures: dict[str, Any], turn: int) -> dict[str, float]:
    """One round of starts, in processes per second; every other round runs backwards."""
    sides = list(measures) if turn % 2 == 0 else list(measures)[::-1]
    return {side: measures[side]() for side in sides}


def compared(measure: Callable[[int], dict[str, float]], width: float, most: int, quiet: Quiet) -> dict[str, Any]:
    """Measure rounds until the interval of after / before is narrower than ``width``.

    Args:
        measure: one round, by its number; gives each of ``SIDES``.
        width: of the 95 % interval.
        most: rounds, however wide the interval still is.
        quiet: looks at the machine before each round.

    Returns:
        Ratios with their intervals, the number of rounds and all speeds; or why it failed.
    """
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    while len(found["after"]) < most:
        for _ in range(STEP if found["after"] else LEAST):
            quiet.look()
            try:
                more = measure(len(found["after"]))
            except MeasurementError as error:
                return {"failed": str(error)}
            for side, value in more.items():
                found[side].append(value)
        around = [math.sqrt(one * other) for one, other in zip(found["before"], found["before again"], strict=True)]
        new, same = shown(ratio(found["after"], around)), shown(ratio(found["before again"], found["before"]))
        if new["high"] - new["low"] < width:
            break
    return {"after / before": new, "before / before": same, "rounds": len(found["after"]), "per second": found}


def shown(estimate: Estimate) -> dict[str, float]:
    """As JSON values."""
    return {"mean": estimate.value, "low": estimate.low, "high": estimate.high}


def known_to(root: Path) -> list[str]:
    """The settings of the same work, without those that an earlier checkout does not have yet."""
    config, missing = OmegaConf.load(root / "conf" / "config.yaml"), object()
    keys = [text.partition("=")[0] for text in SAME_WORK]
    has = [OmegaConf.select(config, key, default=missing) is not missing for key in keys]  # what it has may be null
    return list(compress(SAME_WORK, has))


def commit(root: Path) -> str:
    """The short hash of a checkout's commit."""
    done = subprocess.run(["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="the other checkout")
    parser.add_argument("--works", nargs="+", default=[*WORKS, *STARTS], choices=[*WORKS, *STARTS])
    parser.add_argument("--seconds", type=float, default=0.5, help="of each turn")
    parser.add_argument("--width", type=float, default=0.04, help="of the 95 %% interval of the ratio")
    parser.add_argument("--most", type=int, default=60, help="rounds, however wide the interval still is")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "before_after.json")
    args = parser.parse_args()
    quiet, roots = Quiet(), dict(zip(SIDES, (args.before.resolve(), HERE.parent, args.before.resolve()), strict=True))
    origin = {
        "command": command_line(sys.argv[1:], "before_after.py"),
        "machine": describe_machine(),
        "commits": {"before": commit(roots["before"]), "after": commit(HERE.parent)},
    }
    for name in args.works:
        if name in WORKS:
            sides = {side: (root, (*WORKS[name], *known_to(root), "device=cpu")) for side, root in roots.items()}
            found = compared(partial(trained, sides, args.seconds), args.width, args.most, quiet)
        else:
            measures = {side: partial(starts, root, STARTS[name]) for side, root in roots.items()}
            found = compared(partial(started, measures), args.width, args.most, quiet)
        results = stored(args.out).get("works", {}) | {name: found}
        store(args.out, {**origin, "busy looks": quiet.busy, "works": results})
        print(name, *(f"{key}: {found[key]}" for key in list(found)[:3]), sep="  ", flush=True)


if __name__ == "__main__":
    main()
