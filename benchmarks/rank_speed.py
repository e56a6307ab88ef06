#!/usr/bin/env python3
"""What do ranks cost on this machine? Trainings take turns: with ranks, and what they are held against.

    make bench-ranks
    python benchmarks/rank_speed.py --works halfcheetah --most 20

    pairs           two ranks that share 16 environments, against two runs of 8 each at the same time
    torchrun        one rank that torchrun has started, against a training that nobody has
    deterministic   two ranks with deterministic_ranks=true, against two without

Each round measures the one, the other and the one again, with turns of half a second, as before_after.py does; rounds
go on until the 95 % interval of the ratio is narrow. Every process of a pair may use one of the cores. Writes
benchmarks/results/rank_speed.json.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from before_after import LEAST, STEP, TURNS, shown
from processes import HERE, MeasurementError, command_line, store, stored
from quiet import Quiet
from rounds import take_turns
from turns import WARM_UP, Training
from works import SAME_WORK

from a2c.study.measures.gradients import Estimate
from a2c.study.measures.paired import geometric_mean, ratio
from machine import describe_machine

NUM_ENVS = 16
TAKER = str(HERE / "rank_taker.py")


@dataclass(frozen=True, slots=True)
class Crew:
    """Processes that train at the same time.

    Attributes:
        overrides: settings of each training.
        ranks: that torchrun starts for one training; 0: it starts none.
        runs: how many trainings there are, independent of each other.
        cores: into how many parts the cores are shared out, where torchrun does not do so.
    """

    overrides: tuple[str, ...]
    ranks: int = 0
    runs: int = 1
    cores: int = 1

    def command(self) -> list[str]:
        """Of one training, up to the board and the settings."""
        if self.ranks == 0:
            return [sys.executable, TAKER]
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={self.ranks}"]
        return [sys.executable, *torchrun, TAKER]


def of(env: str, num_envs: int = NUM_ENVS, *more: str) -> tuple[str, ...]:
    """The settings of a training."""
    return (f"env.id={env}", f"num_envs={num_envs}", "threads=1", "device=cpu", *SAME_WORK, *more)


def pair(env: str, *more: str) -> tuple[Crew, Crew]:
    """Two ranks; two runs that do as much together."""
    return Crew(of(env, NUM_ENVS, *more), ranks=2), Crew(of(env, NUM_ENVS // 2, *more), runs=2, cores=2)


CARTPOLE = of("CartPole-v1")
WORKS: dict[str, tuple[Crew, Crew]] = {
    "halfcheetah": pair("HalfCheetah-v5"),
    "pong": pair("ALE/Pong-v5", "env.clip_reward=true"),
    "torchrun": (Crew(CARTPOLE, ranks=1), Crew(CARTPOLE)),
    "deterministic": (Crew((*CARTPOLE, "deterministic_ranks=true"), ranks=2), Crew(CARTPOLE, ranks=2)),
}


@contextlib.contextmanager
def ready(crew: Crew, folder: Path) -> Iterator[list[Training]]:
    """The trainings of a crew, paused and warmed up; they end on leaving."""
    with contextlib.ExitStack() as stack:
        found = []
        for index in range(crew.runs):
            own = folder / str(index)
            own.mkdir(parents=True)
            environ = {} if crew.cores == 1 else {"LOCAL_WORLD_SIZE": str(crew.cores)}
            found.append(Training(HERE.parent, crew.overrides, own, crew.command(), environ))
            stack.callback(found[-1].close)
        for training in found:
            training.wait()
        for _ in range(WARM_UP):
            turn(found, 0.5)
        yield found


def turn(trainings: Sequence[Training], seconds: float) -> float:
    """Let all train at the same time; returns the sum of their steps per second. Raises as :meth:`Training.turn`."""
    began = [training.begin() for training in trainings]
    time.sleep(seconds)
    for training in trainings:
        training.pause()
    return sum(training.speed_since(before) for training, before in zip(trainings, began, strict=True))


def measured(one: Crew, other: Crew, seconds: float) -> dict[str, float]:
    """One round: the geometric mean of the turns of each, in steps per second.

    Raises:
        MeasurementError: a training failed.
    """
    crews = {"ranks": one, "others": other, "ranks again": one}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        sides = {name: stack.enter_context(ready(crew, Path(folder) / name)) for name, crew in crews.items()}
        found, failures = take_turns({name: partial(turn, side, seconds) for name, side in sides.items()}, TURNS)
    if failures:
        raise MeasurementError("; ".join(failures.values()))
    return {name: geometric_mean(speeds).value for name, speeds in found.items()}


def compared(crews: tuple[Crew, Crew], seconds: float, width: float, most: int, quiet: Quiet) -> dict[str, Any]:
    """Measure rounds until the interval of ranks / others is narrower than ``width``, or there are ``most``."""
    found: dict[str, list[float]] = {}
    while (done := len(found.get("ranks", []))) < most:
        for _ in range(min(STEP if done else LEAST, most - done)):
            quiet.look()
            try:
                more: Mapping[str, float] = measured(*crews, seconds)
            except MeasurementError as error:
                return {"failed": str(error)}
            for side, value in more.items():
                found.setdefault(side, []).append(value)
        if len(found["ranks"]) < 2:
            break
        estimate, same = ratios(found)
        if estimate.high - estimate.low < width:
            break
    medians = {side: statistics.median(values) for side, values in found.items()}
    answer = {"median steps per second": medians, "rounds": len(found["ranks"]), "per second": found}
    if len(found["ranks"]) < 2:
        return answer
    estimate, same = ratios(found)
    return {"ranks / others": shown(estimate), "ranks / ranks": shown(same), **answer}


def ratios(found: Mapping[str, Sequence[float]]) -> tuple[Estimate, Estimate]:
    """Ranks beside the others, by round; and the two measurements of the same beside each other."""
    around = [math.sqrt(a * b) for a, b in zip(found["ranks"], found["ranks again"], strict=True)]
    return ratio(around, found["others"]), ratio(found["ranks again"], found["ranks"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", default=list(WORKS), choices=WORKS)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each turn")
    parser.add_argument("--width", type=float, default=0.04, help="of the 95 %% interval of the ratio")
    parser.add_argument("--most", type=int, default=40, help="rounds, however wide the interval still is")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "rank_speed.json")
    args = parser.parse_args()
    quiet = Quiet()
    origin = {"command": command_line(sys.argv[1:], "rank_speed.py"), "machine": describe_machine()}
    for name in args.works:
        found = compared(WORKS[name], args.seconds, args.width, args.most, quiet)
        results = stored(args.out).get("works", {}) | {name: found}
        store(args.out, {**origin, "busy looks": quiet.busy, "works": results})
        print(name, *(f"{key}: {found[key]}" for key in list(found)[:3]), sep="  ", flush=True)


if __name__ == "__main__":
    main()
