"""What the host asks of the GPU in a step and in an update: launches, graphs, copies and waits, as one JSON line.

    python benchmarks/launches.py env.id=ALE/Pong-v5 num_envs=128 device=cuda

torch.profiler counts them among the calls of the CUDA runtime. Without a GPU there are none; it also counts operators,
which show that the command works.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

import a2c
from a2c.build import build, make_envs
from a2c.envs.look import decided
from a2c.run.state import TrainState
from a2c.settings.config import Config
from a2c.trainer import updates

COLLECT, UPDATE = "bench.collect", "bench.update"
WARM_UPDATES = 20  # in which graphs are recorded and kernels compiled
KINDS = {  # by the beginning of the name
    "kernel_launches": ("cudaLaunchKernel", "cuLaunchKernel"),
    "graph_launches": ("cudaGraphLaunch",),
    "waits": ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cuStreamSynchronize"),
    "copies": ("cudaMemcpy",),
    "operators": ("aten::",),
}


def profiled(cfg: Config, count: int) -> list[Any]:
    """The profiler's events of ``count`` rollouts with their updates, after a warm-up."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    with make_envs(cfg) as envs:
        learner, collector = build(cfg, envs)
        *_, state = itertools.islice(updates(learner, collector, TrainState(), sys.maxsize), WARM_UPDATES)
        with profile(activities=activities) as profiler:
            for _ in range(count):
                with record_function(COLLECT):
                    rollout = collector.collect(state.update)
                with record_function(UPDATE):
                    learner.update(rollout, state.env_steps)
                state = state.after(rollout.transitions)
    return list(profiler.events() or [])


def count(events: list[Any], section: str) -> dict[str, int]:
    """How many calls of each kind the host made within sections of this name; of nested ones only the outermost."""
    on_host = [event for event in events if event.device_type.name == "CPU"]
    spans = [(event.time_range.start, event.time_range.end) for event in on_host if event.name == section]
    counts = dict.fromkeys(KINDS, 0)
    for event in on_host:
        if not any(begin <= event.time_range.start < end for begin, end in spans):
            continue
        for kind, beginnings in KINDS.items():
            inner = event.cpu_parent is not None and event.cpu_parent.name.startswith(beginnings)
            if event.name.startswith(beginnings) and not inner:
                counts[kind] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", metavar="key=value", help="settings as for a2c train")
    parser.add_argument("--updates", type=int, default=10)
    args = parser.parse_args()
    cfg = decided(a2c.load_config(*args.overrides))
    events = profiled(cfg, args.updates)
    acting, updating = count(events, COLLECT), count(events, UPDATE)
    found = {
        "overrides": args.overrides,
        "updates": args.updates,
        "n_step": cfg.n_step,
        "per_step": {kind: number / args.updates / cfg.n_step for kind, number in acting.items()},
        "per_rollout": {kind: number / args.updates for kind, number in acting.items()},
        "per_update": {kind: number / args.updates for kind, number in updating.items()},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
