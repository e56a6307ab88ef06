#!/usr/bin/env python3
"""Every measurement that needs a GPU, in one command.

    make bench-gpu                                        # about half an hour
    make bench-gpu ARGS="--parts pong-5 launches"         # some parts; the other stored results stay
    make bench-gpu ARGS="--set precision=bf16 env_groups=2"
    make bench-gpu ARGS=--dry-run                         # tiny, on the CPU: does the command work?

If a part fails, it records the reason, and the others go on. Writes benchmarks/results/gpu.json after each part,
and speed_cuda.json and .png; a dry run writes into a temporary folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from processes import HERE, MeasurementError, command_line, measure, run_script, store, stored
from rounds import paired_ratios, spread, take_turns
from time_to_score import Goal, train_until

from machine import describe_machine

Result = dict[str, Any]
QUIET = ("wandb.mode=disabled", "gif=false")
KINDS = ("native", "auto")  # of vector environment for Pong
PONG = ("env.id=ALE/Pong-v5", "env.clip_reward=true", *QUIET)


@dataclass(frozen=True)
class Scale:
    """How large everything is: for real, or only to see that it works."""

    device: str
    pong_envs: int
    device_envs: int
    seconds: float  # of each measurement
    rounds: int
    limit: float  # seconds that the run to a score may take
    goal: Goal
    preset: tuple[str, ...]  # of the run to a score
    works: tuple[str, ...]  # of the table beside Stable-Baselines3; () is all
    updates: int  # under the profiler


REAL = Scale(
    device="cuda",
    pong_envs=128,
    device_envs=4096,
    seconds=10,
    rounds=3,
    limit=420,
    goal=Goal("rollout/ep_rew_mean", 18.0),
    preset=("env=pong", "num_envs=128", "vectorization=native", "total_steps=100_000_000", "log_every=20_000"),
    works=(),
    updates=20,
)
TINY = Scale(
    device="cpu",
    pong_envs=2,
    device_envs=8,
    seconds=0.2,
    rounds=1,
    limit=60,
    goal=Goal("rollout/ep_rew_mean", 15.0),
    preset=("env=cartpole", "log_every=200"),
    works=("cartpole-16",),
    updates=2,
)


def pong(n_step: int, scale: Scale, args: argparse.Namespace) -> Result:
    """Learning, in turns with the same environments under random actions; native, and as auto chooses."""
    size = (f"num_envs={scale.pong_envs}", f"n_step={n_step}", f"device={scale.device}")
    found: Result = {"floors": {"steps_per_second": 30_000, "of_random": 0.85}}
    for kind in KINDS:
        overrides = [*PONG, *size, f"vectorization={kind}", *args.set]
        found[kind] = beside_random(overrides, scale)
    return found


def device_cartpole(scale: Scale, args: argparse.Namespace) -> Result:
    """Environments whose arrays live on the device, so that nothing goes through the host."""
    size = (f"num_envs={scale.device_envs}", f"device={scale.device}", "vectorization=device")
    overrides = [f"env.id={args.device_env}", *size, *QUIET, *args.set]
    return {"floors": {"steps_per_second": 5_000_000}, **beside_random(overrides, scale)}


def beside_random(overrides: list[str], scale: Scale) -> Result:
    """Steps per second with learning and with random actions, and the ratio of the two.

    Raises:
        MeasurementError: neither could be measured.
    """
    seconds = f"--seconds={scale.seconds}"
    measures = {
        "learning": partial(measure, "our_speed.py", *overrides, seconds),
        "random": partial(measure, "our_speed.py", *overrides, seconds, "--random"),
    }
    rounds, failures = take_turns(measures, scale.rounds)
    if not rounds:
        raise MeasurementError("; ".join(dict.fromkeys(failures.values())))
    speeds = {name: [one["steps_per_second"] for one in found] for name, found in rounds.items()}
    found: Result = {
        "overrides": overrides,
        "steps_per_second": {name: spread(values) for name, values in speeds.items()},
        "rounds": rounds,
        "failed": failures,
    }
    if not failures:
        found["of_random"] = spread(paired_ratios(speeds["learning"], speeds["random"]))
    return found


def pong_score(scale: Scale, args: argparse.Namespace) -> Result:
    """Wall time from nothing to the score, including the start of the program."""
    overrides = [*scale.preset, f"device={scale.device}", *QUIET, *args.set, *args.preset]
    return {"floors": {"seconds": 180}, **train_until(scale.goal, overrides, args.limit or scale.limit)}


def launches(scale: Scale, args: argparse.Namespace) -> Result:
    """Launches, copies and waits of the host in a step and in an update."""
    size = (f"num_envs={scale.pong_envs}", f"device={scale.device}", "vectorization=native")
    found = measure("launches.py", *PONG, *size, *args.set, f"--updates={scale.updates}")
    floors = {"per_step": {"graph_launches": 1, "waits": 1}, "per_update": {"waits": 0}}
    return {"floors": floors, **found}


def speed(scale: Scale, args: argparse.Namespace) -> Result:
    """The table beside Stable-Baselines3, both on this device."""
    arguments = [f"--device={scale.device}", f"--seconds={scale.seconds / 2}", f"--out={args.out}"]
    arguments += ["--rounds=1"] if args.dry_run else []
    arguments += ["--works", *scale.works] if scale.works else []
    arguments += ["--set", *args.set] if args.set else []
    table = run_script("speed.py", *arguments, timeout=3600)
    return {"file": f"speed_{scale.device}.json", "table": table.splitlines()}


PARTS: dict[str, Callable[[Scale, argparse.Namespace], Result]] = {
    "pong-5": partial(pong, 5),
    "pong-20": partial(pong, 20),
    "pong-score": pong_score,
    "device-cartpole": device_cartpole,
    "launches": launches,
    "speed": speed,
}


def attempt(name: str, scale: Scale, args: argparse.Namespace) -> Result:
    """Measure one part; any failure is a result too."""
    begin = time.perf_counter()
    try:
        found = PARTS[name](scale, args)
    except MeasurementError as error:
        found = {"failed": str(error)}
    except Exception as error:  # a mistake of ours here must not cost the other parts
        found = {"failed": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc().splitlines()}
    return found | {"took_seconds": round(time.perf_counter() - begin, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="more settings, for all parts")
    parser.add_argument(
        "--preset", nargs="+", default=[], metavar="key=value", help="more settings of the run to a score"
    )
    parser.add_argument("--limit", type=float, help="seconds that the run to a score may take")
    parser.add_argument(
        "--device-env", default="a2c.envs.device:CartPoleDevice-v1", help="the environment that lives on the device"
    )
    parser.add_argument("--dry-run", action="store_true", help="everything tiny, on the CPU")
    parser.add_argument("--out", type=Path, help="folder of the results")
    args = parser.parse_args()
    scale = TINY if args.dry_run else REAL
    args.out = args.out or (Path(tempfile.mkdtemp(prefix="a2c-bench-")) if args.dry_run else HERE / "results")
    args.out = args.out.resolve()
    path = args.out / ("gpu_dry_run.json" if args.dry_run else "gpu.json")
    origin = {
        "command": command_line(sys.argv[1:], "gpu.py"),
        "date": time.strftime("%Y-%m-%d"),
        "machine": describe_machine(),
    }
    for name in args.parts:
        print(f"{name} ...", flush=True)
        found = attempt(name, scale, args)
        results: Result = {"parts": {}} | stored(path)
        results["parts"][name] = origin | found
        store(path, results)
        print(f"{name}: {found.get('failed') or summary(found)} ({found['took_seconds']:.0f} s)", flush=True)
    print(path)


def summary(found: Result) -> str:
    """The main figures of a part in a few lines; the file has all of them."""
    if "table" in found:
        return "\n".join(["", *found["table"]])
    parts: dict[str, Result] = {kind: found[kind] for kind in KINDS if kind in found} or {"": found}
    lines = [f"  {kind} {_figures(part)}".rstrip() for kind, part in parts.items()]
    return "\n".join(["", *lines, f"  asked for: {found['floors']}"])


def _figures(part: Result) -> str:
    kept = {key: value for key, value in part.items() if key in SHOWN and value}
    if "steps_per_second" in kept:
        kept["steps_per_second"] = {kind: round(found["median"]) for kind, found in kept["steps_per_second"].items()}
    if "of_random" in kept:
        kept["of_random"] = round(kept["of_random"]["median"], 3)
    return ", ".join(f"{key} {value}" for key, value in kept.items())


SHOWN = ("steps_per_second", "of_random", "failed", "per_step", "per_update", "reached", "seconds", "env_steps")


if __name__ == "__main__":
    main()
