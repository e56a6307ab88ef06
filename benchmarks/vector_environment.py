#!/usr/bin/env python3
"""Our vector environment compared with Gymnasium's, with random actions, and how long it takes to start.

    make bench-envs
    make bench-envs ARGS="--works cartpole-16 --rounds 3 --seconds 0.3"

All step the same environments, as the trainer makes them, and take turns in one process; the median of the ratios of
pairs counts. Writes benchmarks/results/vector_environment.json.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv
from processes import HERE, command_line, store, stored
from quiet import Quiet
from rounds import paired_ratios, spread, take_turns

from a2c import load_config
from a2c.envs.choosing.plan import plan
from a2c.envs.make_vector_env import make_vector_env
from a2c.envs.single.make_env import make_env
from a2c.envs.vector.sharded import ShardedAsyncVectorEnv
from a2c.settings.config import Config
from machine import describe_machine

Envs = VectorEnv[Any, Any, Any]
Result = dict[str, Any]
OURS, PEER = "workers and this process", "AsyncVectorEnv"
WORKS = {  # environment, N, and how many times as fast as Gymnasium's AsyncVectorEnv we must be
    "cartpole-16": ("CartPole-v1", 16, 4.0),
    "cartpole-128": ("CartPole-v1", 128, 25.0),
    "pong-16": ("ALE/Pong-v5", 16, 1.8),
}
START_SIZES = (512, 1024)
START_LIMIT = 10.0  # seconds in which 512 environments must have started
ACTIONS = 50  # batches of random actions, drawn beforehand


def makers(cfg: Config) -> dict[str, Callable[[], Envs]]:
    """The vector environments: ours and its peer, and others that show what is possible."""
    each = [partial(make_env, cfg.env)] * cfg.num_envs
    shared: dict[str, Any] = {"copy": False, "autoreset_mode": "SameStep"}
    return {
        PEER: lambda: AsyncVectorEnv(each, **shared),  # first, since it forks: others may have threads
        OURS: lambda: ShardedAsyncVectorEnv(each, **shared, main_shard=True),
        "workers alone": lambda: ShardedAsyncVectorEnv(each, **shared),
        "SyncVectorEnv": lambda: SyncVectorEnv(each, **shared),
        "native": lambda: make_vector_env(cfg.env, cfg.num_envs, plan(cfg)),
    }


@contextlib.contextmanager
def started(cfg: Config, make: Callable[[], Envs]) -> Iterator[tuple[Envs, float]]:
    """Yield a vector environment after its reset, and the seconds that this took."""
    begin = time.perf_counter()
    envs = make()
    try:
        envs.reset(seed=cfg.seed)
        yield envs, time.perf_counter() - begin
    finally:
        envs.close()


def steps_per_second(envs: Envs, actions: list[Any], seconds: float) -> float:
    """Environment steps per second, over about ``seconds``."""
    begin, steps = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - begin) < seconds or not steps:
        envs.step(actions[steps % len(actions)])
        steps += 1
    return steps * envs.num_envs / elapsed


def compare(name: str, rounds: int, seconds: float) -> Result:
    """Measure all rounds of one work. All vector environments are open at once; they sleep until it is their turn."""
    env_id, num_envs, floor = WORKS[name]
    cfg = load_config(f"env.id={env_id}", "algo=a2c_paper", f"num_envs={num_envs}", "vectorization=native")
    quiet = Quiet()
    with contextlib.ExitStack() as stack:
        opened = {kind: stack.enter_context(started(cfg, make)) for kind, make in makers(cfg).items()}
        space = opened[PEER][0].action_space
        space.seed(cfg.seed)
        actions = [space.sample() for _ in range(ACTIONS)]
        for envs, _ in opened.values():
            steps_per_second(envs, actions, seconds / 10)
        measures = {kind: partial(steps_per_second, envs, actions, seconds) for kind, (envs, _) in opened.items()}
        speeds, _ = take_turns(measures, rounds, quiet.look)
    ratios = paired_ratios(speeds[OURS], speeds[PEER])
    return {
        "num_envs": num_envs,
        "steps_per_second": {kind: {**spread(found), "rounds": found} for kind, found in speeds.items()},
        "start_seconds": {kind: seconds for kind, (_, seconds) in opened.items()},
        "ratio": {**spread(ratios), "pairs": ratios},
        "floor": floor,
        "quiet": {"busy_looks": quiet.busy, "looks": quiet.looks},
    }


def start(num_envs: int) -> Result:
    """How long ``num_envs`` CartPoles of ours take to start; also steps them once."""
    cfg = load_config("env.id=CartPole-v1", "algo=a2c_paper", f"num_envs={num_envs}")
    with started(cfg, makers(cfg)[OURS]) as (envs, seconds):
        envs.step(envs.action_space.sample())
    return {"seconds": seconds, "limit": START_LIMIT if num_envs == min(START_SIZES) else None}


def show(results: Result) -> None:
    """Print a line for each work and each start."""
    for name, row in results["works"].items():
        speeds = ", ".join(f"{kind} {found['median']:,.0f}" for kind, found in row["steps_per_second"].items())
        ratio = row["ratio"]
        print(
            f"{name}: {ratio['median']:.1f} times as fast as {PEER} [{ratio['low']:.1f}-{ratio['high']:.1f}], "
            f"floor {row['floor']:g}; steps/s: {speeds}; busy before {row['quiet']['busy_looks']} rounds"
        )
    for num_envs, row in results["start"].items():
        limit = f", limit {row['limit']:g} s" if row["limit"] else ""
        print(f"{num_envs} environments start in {row['seconds']:.2f} s{limit}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="*", choices=WORKS, default=list(WORKS))
    parser.add_argument("--rounds", type=int, default=7, help="an odd number, so that a median is a measurement")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--start", nargs="*", type=int, default=START_SIZES, metavar="N", help="sizes to start")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the results")
    args = parser.parse_args()
    if args.rounds % 2 == 0:
        parser.error(f"--rounds {args.rounds} is even")
    path = args.out / "vector_environment.json"
    works = {name: compare(name, args.rounds, args.seconds) for name in args.works}
    starts = {str(num_envs): start(num_envs) for num_envs in args.start}
    origin = {
        "command": command_line(sys.argv[1:], "vector_environment.py"),
        "date": time.strftime("%Y-%m-%d"),
        "machine": describe_machine(),  # last: it imports torch, which is better not there when Gymnasium forks
    }
    results = {"works": {}, "start": {}} | stored(path)
    results["works"] |= {name: origin | found for name, found in works.items()}
    results["start"] |= {size: origin | found for size, found in starts.items()}
    store(path, results)
    show(results)


if __name__ == "__main__":
    main()
