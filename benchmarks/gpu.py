#!/usr/bin/env python3
"""The first hour on a GPU, in one command: is it right, does it launch and wait as little as it should, how fast is it.

    make bench-gpu                                        # about an hour
    make bench-gpu ARGS="--parts pong-5 launches"         # some parts; the other stored results stay
    make bench-gpu ARGS="--set precision=bf16 env_groups=2"
    make bench-gpu ARGS=--dry-run                         # tiny, on the CPU: does the command work?

Parts run in the order of what the later ones rest on: tests, launches, page-locking, Pong with workers and then native,
environments on the device, single settings against each other, the time to a score, the table beside
Stable-Baselines3. If a part fails, it records the reason, and the others go on. Writes benchmarks/results/gpu.json
after each part, and speed_cuda.json and .png; a dry run writes into a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gpu_report import KINDS, summary
from processes import HERE, MeasurementError, command_line, measure, run_script, store, stored
from rounds import paired_ratios, spread, take_turns
from time_to_score import Goal, train_until

from machine import describe_machine

Result = dict[str, Any]
QUIET = ("wandb.mode=disabled", "gif=false")
PONG = ("env.id=ALE/Pong-v5", "algo=a2c_paper", "env.clip_reward=true", *QUIET)


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
    preset=("env=pong", "num_envs=128", "vectorization=native", "total_steps=100_000_000", "eval.every=5_000_000"),
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


def tests(pattern: str, scale: Scale, args: argparse.Namespace) -> Result:
    """tests/gpu, in which any notice of a slower way is a failure.

    Raises:
        MeasurementError: a test failed.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE.parent / "tests" / "gpu")]
    command += ["-k", pattern] if pattern else []
    # Without the folder of this file, which would hide tests/gpu.
    environment = {"PYTHONPATH": str(HERE.parent / "src"), "A2C_GPU_TEST_DEVICE": scale.device}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, cwd=HERE.parent)
    lines = done.stdout.splitlines()
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", lines[-1] if lines else "")}
    if done.returncode != 0:
        raise MeasurementError("; ".join(line for line in lines if line.startswith(("FAILED", "ERROR"))) or lines[-1])
    return {"tests": counts}


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
    overrides = [f"env.id={args.device_env}", "algo=a2c_paper", *size, *QUIET, *args.set]
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
    """Launches, copies and waits of the host in a step and in an update; environments on the host and on the device."""
    size = (f"num_envs={scale.pong_envs}", f"device={scale.device}", "vectorization=native")
    updates = f"--updates={scale.updates}"
    on_device = (
        f"env.id={args.device_env}",
        "algo=a2c_paper",
        f"num_envs={scale.device_envs}",
        f"device={scale.device}",
    )
    return {
        "floors": {"host": {"per_step": {"graph_launches": 1, "waits": 1}, "per_update": {"waits": 0}}},
        "floors on device": {"per_rollout": {"graph_launches": 1, "waits": 0}, "per_update": {"graph_launches": 1}},
        "host": measure("launches.py", *PONG, *size, *args.set, updates),
        "device": measure("launches.py", *on_device, "vectorization=device", *QUIET, *args.set, updates),
    }


def single_settings(scale: Scale, args: argparse.Namespace) -> Result:
    """One setting changed at a time, in turns with none changed: how much each is worth here."""
    size = (f"num_envs={scale.pong_envs}", f"device={scale.device}", "vectorization=native")
    on_device = (
        f"env.id={args.device_env}",
        "algo=a2c_paper",
        f"num_envs={scale.device_envs}",
        f"device={scale.device}",
    )
    works = {
        "pong": ([*PONG, *size], ("precision=bf16", "env_groups=2", "tf32=false", "cuda_graphs=false")),
        "device-cartpole": ([*on_device, "vectorization=device", *QUIET], ("cuda_graphs=false", "tf32=false")),
    }
    found: Result = {}
    for name, (overrides, changes) in works.items():
        seconds = f"--seconds={scale.seconds / 2}"
        measures = {
            change: partial(measure, "our_speed.py", *overrides, *args.set, *filter(None, [change]), seconds)
            for change in ("", *changes)
        }
        rounds, failures = take_turns(measures, scale.rounds)
        speeds = {change: [one["steps_per_second"] for one in found] for change, found in rounds.items()}
        found[name] = {
            "steps_per_second": {change or "as it is": spread(values) for change, values in speeds.items()},
            "ratio": {change: spread(paired_ratios(values, speeds[""])) for change, values in speeds.items() if change},
            "failed": failures,
        }
    return found


def speed(scale: Scale, args: argparse.Namespace) -> Result:
    """The table beside Stable-Baselines3, both on this device."""
    arguments = [f"--device={scale.device}", f"--seconds={scale.seconds / 2}", f"--out={args.out}"]
    arguments += ["--rounds=1"] if args.dry_run else []
    arguments += ["--works", *scale.works] if scale.works else []
    arguments += ["--set", *args.set] if args.set else []
    table = run_script("speed.py", *arguments, timeout=3600)
    return {"file": f"speed_{scale.device}.json", "table": table.splitlines()}


PARTS: dict[str, Callable[[Scale, argparse.Namespace], Result]] = {
    "tests": partial(tests, ""),
    "launches": launches,
    "page-locking": partial(tests, "locked"),
    "pong-5": partial(pong, 5),
    "pong-20": partial(pong, 20),
    "device-cartpole": device_cartpole,
    "settings": single_settings,
    "pong-score": pong_score,
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


if __name__ == "__main__":
    main()
