"""What scaling_model.py measures on this machine: sums by Gloo on the loopback, and how much rollouts differ."""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed

SUMS = 200  # of each size
WARM_UP = 20
PARTS = 500


def gloo_here(sizes: Sequence[int]) -> dict[str, Any]:
    """Median microseconds of a sum over two ranks, by bytes; of a hop, two of which it takes; bytes a microsecond."""
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        other = context.Process(target=_sum, args=(folder, 1, list(sizes)))
        other.start()
        found = _sum(folder, 0, list(sizes))
        other.join()
    small, large = min(sizes), max(sizes)
    rate = (large - small) / (found[large] - found[small])  # two ranks send half of the bytes twice
    return {"us": {str(size): value for size, value in found.items()}, "hop_us": found[small] / 2, "bytes_per_us": rate}


def _sum(folder: str, rank: int, sizes: Sequence[int]) -> dict[int, float]:
    store = distributed.FileStore(str(Path(folder) / "store"), 2)
    group = distributed.ProcessGroupGloo(store, rank, 2, timedelta(seconds=60))
    torch.set_num_threads(1)
    found = {}
    for size in sizes:
        tensor, seconds = torch.zeros(size // 4), []
        for _ in range(WARM_UP + SUMS):
            begin = time.perf_counter()
            group.allreduce([tensor]).wait()
            seconds.append(time.perf_counter() - begin)
        found[size] = 1e6 * statistics.median(seconds[WARM_UP:])
    return found


def rollouts_here(overrides: list[str], seconds: float) -> list[float]:
    """The distribution of the seconds of a rollout and its update, of 16 environments in one process."""
    import a2c
    from a2c.build import build, make_envs
    from a2c.run.state import TrainState
    from a2c.trainer import updates

    cfg = a2c.load_config(*overrides, "num_envs=16", "n_step=5", "threads=1", "device=cpu", "wandb.mode=disabled")
    found: list[float] = []
    with make_envs(cfg, resumable=False) as envs:
        learner, collector = build(cfg, envs)
        begin = before = time.perf_counter()
        for _ in updates(learner, collector, TrainState(), sys.maxsize):
            now = time.perf_counter()
            found.append(now - before)
            before = now
            if now - begin > seconds:
                break
    return in_parts(found[len(found) // 10 :])  # the first tenth warms up


def in_parts(values: Sequence[float]) -> list[float]:
    """The means of ``PARTS`` equal parts of the sorted values, or of each where there are fewer: their distribution."""
    parts = np.array_split(np.sort(np.asarray(values)), min(PARTS, len(values)))
    return [round(float(part.mean()), 7) for part in parts]
