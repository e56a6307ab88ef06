#!/usr/bin/env python3
"""How far would ranks scale? A prediction, from times measured here and from published figures of networks.

    python benchmarks/scaling_model.py               # measure Gloo and the spread of rollouts, predict, draw
    python benchmarks/scaling_model.py --draw        # predict and draw again, from what was measured

An update of K ranks takes as long as the slowest of them collects and learns, and then the sum of the gradients:

    T(K) = (fixed + step * n * n_step) * slowest(K) + sum(K, 4 * weights + 12 bytes)

Efficiency is T(1) / T(K) where each rank keeps its n environments (weak scaling), T(1) / (K * T(K)) where they share N
(strong). Writes benchmarks/results/scaling_model.json and .png.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil, log2
from pathlib import Path
from typing import Any

import numpy as np
from processes import HERE, command_line, measured_or_stored, store, stored

from machine import describe_machine

RANKS = (1, 2, 4, 8, 16, 32, 64, 128)
NODE = 8  # GPUs of a machine
SHARED = 1024  # environments in strong scaling
SIZES = (1 << 10, 1 << 16, 1 << 20, 1 << 23)  # bytes that Gloo is timed with
ROLLOUTS = {
    "cartpole": ("env.id=CartPole-v1", "vectorization=sync"),
    "halfcheetah": ("env.id=HalfCheetah-v5", "vectorization=sync"),
    "pong": ("env.id=ALE/Pong-v5", "vectorization=sync"),
}
# Published. NCCL chooses by its own model of time, whose constants these are (NVIDIA/nccl, src/graph/tuning.cc, commit
# 01afd20): microseconds to begin, for a hop within a machine, for one between two; GB/s of NVLink.
TREE, RING, NVLINK = (4.4, 1.2, 8.5), (8.4, 3.4, 9.6), 235.0
INFINIBAND = 200.0  # GB/s of a machine with eight adapters of 200 Gb/s
ETHERNET = 12.5  # GB/s of one of 100 Gb/s
KERNELS = 50.0  # microseconds from kernel to kernel by TCP (WWT, "The basics of high performance networking")
OTHERS = {"DD-PPO, Wijmans et al. 2020": (128, 0.84), "rl_games": (2, 0.95)}

Sum = Callable[[int, float], float]  # seconds, of the number of ranks and of bytes


@dataclass(frozen=True, slots=True)
class Work:
    """What one rank does in an update."""

    title: str
    fixed: float  # seconds, whatever the number of environments
    step: float  # seconds, of one step of one environment and its share of the update
    weights: int
    rollouts: str  # whose spread, of ROLLOUTS
    num_envs: int = 16
    n_step: int = 5

    @property
    def seconds(self) -> float:
        return self.fixed + self.step * self.num_envs * self.n_step


def works() -> dict[str, Work]:
    """By the stored benchmarks; the last one by the prediction in docs/performance.md for an H100 with 16 cores."""
    points = stored(HERE / "results" / "scaling.json")["axes"]["num_envs"]["points"]
    steps = np.array([5.0 * int(size) for size in points])
    seconds = np.array([5 * int(size) / point["steps_per_second"] for size, point in points.items()])
    step, fixed = np.polyfit(steps, seconds, 1, w=1 / seconds)  # each point to the same relative error
    row = stored(HERE / "results" / "speed_cpu.json")["rows"]["halfcheetah-16"]["ours"]
    update = 80 / row["steps_per_second"]["median"]
    of_envs = row["rounds"][0]["share"]["env"]
    pong, envs = 640 / 35_000, 0.83  # 28,000 to 43,000 steps a second at N=128; the share of the environments
    return {
        "cartpole": Work("CartPole, CPU", float(fixed), float(step), 9155, "cartpole"),
        "halfcheetah": Work("HalfCheetah, CPU", update * (1 - of_envs), update * of_envs / 80, 11_085, "halfcheetah"),
        "pong": Work("Pong, H100 (predicted)", pong * (1 - envs), pong * envs / 640, 1_687_719, "pong", 128),
    }


def nccl(between: float, latency: float | None = None) -> Sum:
    """Of eight GPUs a machine: the quicker of a tree and a ring.

    Args:
        between: GB/s that a machine sends.
        latency: microseconds of a hop between machines; None: NCCL's own figure, of InfiniBand.
    """

    def seconds(ranks: int, size: float) -> float:
        if ranks == 1:
            return 0.0
        here, machines = min(NODE, ranks), ceil(ranks / NODE)
        bus = 1e3 * (NVLINK if machines == 1 else min(NVLINK, between))  # bytes a microsecond
        begin, hop, far = TREE
        tree = begin + 2 * ((here - 1) * hop + log2(machines) * (latency or far)) + 2 * size / min(0.9 * bus, 80e3)
        begin, hop, far = RING
        far_hops = 2 * (machines - 1)
        near_hops = 2 * (ranks - 1) - far_hops
        ring = begin + near_hops * hop + far_hops * (latency or far) + 2 * (ranks - 1) / ranks * size / bus
        return 1e-6 * min(tree, ring)

    return seconds


def gloo(measured: dict[str, float], between: float = 0.0) -> Sum:
    """A ring of ranks, each on a machine of its own; ``between`` microseconds of a hop beside those of the loopback."""
    hop, rate = measured["hop_us"] + between, min(measured["bytes_per_us"], 1e3 * ETHERNET)

    def seconds(ranks: int, size: float) -> float:
        return 1e-6 * (2 * (ranks - 1) * hop + 2 * (ranks - 1) / ranks * size / rate)

    return seconds


def expected_slowest(seconds: Sequence[float], ranks: int) -> float:
    """How many times its mean the largest of so many draws is, by what was seen (sorted or not)."""
    found = np.sort(np.asarray(seconds))
    levels = (np.arange(len(found) + 1) / len(found)) ** ranks
    return float((found * np.diff(levels)).sum() / found.mean())


def efficiency(work: Work, ranks: int, add: Sum, spread: Sequence[float], shared: int | None = None) -> float:
    """Of so many ranks, each with the environments of ``work``, or with its part of so many."""
    size, alone = 4.0 * work.weights + 12, work
    if shared is not None:
        alone, work = replace(work, num_envs=shared), replace(work, num_envs=shared // ranks)
    together = work.seconds * expected_slowest(spread, ranks) + add(ranks, size)
    return alone.seconds / together / (1 if shared is None else ranks)


def predicted(measured: dict[str, Any]) -> dict[str, Any]:
    """Efficiencies by the work and its network, and what helps at the largest number of ranks."""
    found = works()
    networks: dict[str, tuple[str, Sum]] = {
        "CartPole, 100 Gb Ethernet": ("cartpole", gloo(measured["gloo"], KERNELS)),
        "HalfCheetah, 100 Gb Ethernet": ("halfcheetah", gloo(measured["gloo"], KERNELS)),
        "Pong on H100, InfiniBand": ("pong", nccl(INFINIBAND)),
        "Pong on H100, 100 Gb Ethernet": ("pong", nccl(ETHERNET, KERNELS)),
    }
    weak, strong, helps = {}, {}, {}
    most = RANKS[-1]
    for name, (key, add) in networks.items():
        work, spread = found[key], measured["rollouts"][found[key].rollouts]
        weak[name] = {ranks: efficiency(work, ranks, add, spread) for ranks in RANKS}
        strong[name] = {ranks: efficiency(work, ranks, add, spread, SHARED) for ranks in RANKS}
        changed = {
            "as it is": (work, add),
            "n_step=20": (replace(work, n_step=20), add),
            "4 x num_envs": (replace(work, num_envs=4 * work.num_envs), add),
            "a sum in bf16": (work, lambda ranks, size, add=add: add(ranks, size / 2)),
            "no stragglers": (work, add),
        }
        helps[name] = {
            how: efficiency(one, most, by, [1.0] if how == "no stragglers" else spread)
            for how, (one, by) in changed.items()
        }
    sums = {
        name: {r: 1e3 * add(r, 4.0 * found[key].weights + 12) for r in RANKS} for name, (key, add) in networks.items()
    }
    slowest = {name: {r: expected_slowest(one, r) for r in RANKS} for name, one in measured["rollouts"].items()}
    of_works = {name: {**asdict(work), "seconds": work.seconds} for name, work in found.items()}
    return {
        "works": of_works, "sum_ms": sums, "slowest": slowest,
        "weak": weak, "strong": strong, f"weak at {most} ranks": helps,
    }  # fmt: skip


def run(args: argparse.Namespace, path: Path) -> None:
    """Measure and store."""
    import os

    from ranks_here import gloo_here, rollouts_here

    measured: dict[str, Any] = {"gloo": gloo_here(SIZES)}
    measured["rollouts"] = {name: rollouts_here(list(work), args.seconds) for name, work in ROLLOUTS.items()}
    origin = {"command": command_line(sys.argv[1:], "scaling_model.py"), "date": time.strftime("%Y-%m-%d")}
    store(path, {**origin, "machine": describe_machine(), "load": os.getloadavg()[0], "measured": measured})


def show(results: dict[str, Any]) -> None:
    """Print the tables of docs/scaling.md."""
    for kind in ("weak", "strong"):
        print(f"\n| {kind}: ranks | " + " | ".join(map(str, RANKS)) + " |\n|---" * (1) + "|---" * len(RANKS) + "|")
        for name, row in results[kind].items():
            print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in row.values()) + " |")
    helps = results[f"weak at {RANKS[-1]} ranks"]
    print(f"\n| weak, {RANKS[-1]} ranks | " + " | ".join(next(iter(helps.values()))) + " |")
    for name, row in helps.items():
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in row.values()) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each work whose rollouts are timed")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the results")
    parser.add_argument("--draw", action="store_true", help="measure nothing, predict again")
    args = parser.parse_args()
    path = args.out / "scaling_model.json"
    results = measured_or_stored(parser, args, path, run)
    results |= predicted(results["measured"])
    store(path, results)

    from scaling_model_chart import draw

    show(results)
    print(draw(results, OTHERS, path.with_suffix(".png")))


if __name__ == "__main__":
    main()
