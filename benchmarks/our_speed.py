"""Steps per second of our training loop, or of its environments alone, as one JSON line.

    python benchmarks/our_speed.py env.id=CartPole-v1 num_envs=16 threads=1
    python benchmarks/our_speed.py env.id=CartPole-v1 vectorization=native --random    # random actions, no learning

The loop is that of `a2c train`, with its metrics drained every `log_every` steps; evaluations, checkpoints and the
start of the environments are not timed, nor is the warm-up (whose length is in the record: it compiles).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, Space
from memory import peak_memory

import a2c
from a2c.clock import LOOP
from a2c.config import Config
from a2c.device_envs.adapter import DeviceEnvs
from a2c.envs.groups import EnvGroups
from a2c.envs.seeding import TRAIN, env_seed, env_seeds
from a2c.state import TrainState
from a2c.trainer import build, make_envs

WARM_UP = 0.1  # of the measured time, and so many updates or steps at least:
WARM_UPDATES = 5
WARM_STEPS = 5
ACTIONS = 50  # batches of random actions, drawn beforehand


class Loop:
    """The loop of ``a2c.trainer.train``, less what happens at evaluations."""

    def __init__(self, cfg: Config, learner: Any, collector: Any) -> None:
        self.cfg, self.learner, self.collector = cfg, learner, collector
        self.state = TrainState()
        self._drained = 0

    def run(self, seconds: float, least_updates: int = 1) -> tuple[int, int, float]:
        """Train for this long; returns transitions, updates and seconds."""
        begin, first, least = time.perf_counter(), self.state, self.state.update + least_updates
        while time.perf_counter() - begin < seconds or self.state.update < least:
            rollout = self.collector.collect(self.state.update)
            self.learner.update(rollout, self.state.env_steps)
            self.state = self.state.after(rollout)
            if self.state.env_steps // self.cfg.log_every > self._drained:
                self._drained = self.state.env_steps // self.cfg.log_every
                self.learner.drain_metrics(self.state.env_steps)
                self.collector.metrics()
        synchronize()
        elapsed = time.perf_counter() - begin
        return self.state.env_steps - first.env_steps, self.state.update - first.update, elapsed


def measure_learning(cfg: Config, seconds: float) -> dict[str, Any]:
    """Train for the time asked for; where the time went, by the collector's own clocks."""
    with make_envs(cfg) as envs:
        learner, collector = build(cfg, envs)
        loop = Loop(cfg, learner, collector)
        *_, warm_up = loop.run(WARM_UP * seconds, WARM_UPDATES)
        collector.clock.shares()  # from here on
        steps, updates, elapsed = loop.run(seconds)
        share = collector.clock.shares()
        weights = sum(param.numel() for param in learner.model.parameters())
        device = str(next(learner.model.parameters()).device)
        choice = None if envs.choice is None else asdict(envs.choice)
    return {
        "steps": steps,
        "updates": updates,
        "seconds": elapsed,
        "steps_per_second": steps / elapsed,
        "share": {part: share[part] for part in LOOP},  # draining metrics is the update's
        "warm_up_seconds": warm_up,
        "weights": weights,
        "device": device,
        "environments": choice,
        "threads": torch.get_num_threads(),
    }


def measure_random(cfg: Config, seconds: float) -> dict[str, Any]:
    """The same environments, as the trainer steps them, with random actions: no training is faster.

    Every row counts, also those that a native environment spends on a reset, so that the limit is not too low.
    """
    with make_envs(cfg) as envs:
        step, actions = begun(envs, cfg)
        _step_for(step, actions, WARM_UP * seconds, WARM_STEPS)
        steps, elapsed = _step_for(step, actions, seconds, 1)
    rows = steps * cfg.num_envs
    return {"steps": rows, "seconds": elapsed, "steps_per_second": rows / elapsed}


def begun(envs: EnvGroups | DeviceEnvs, cfg: Config) -> tuple[Callable[[Any], Any], list[Any]]:
    """Reset environments; returns what steps them all, as the trainer does, and batches of random actions for it."""
    actions = random_actions(envs.action_space, cfg)
    if isinstance(envs, DeviceEnvs):
        torch.set_num_threads(cfg.threads or 1)  # as in training
        envs.reset(env_seed(cfg.seed, TRAIN, 0))
        return envs.step, [torch.from_numpy(batch).to(envs.device) for batch in actions]
    seeds, parts, first = env_seeds(cfg.seed, TRAIN, cfg.num_envs), [], 0
    for group in envs.groups:
        rows = slice(first, first := first + group.num_envs)
        group.reset(seeds[rows])
        parts.append((group, rows))

    def step(batch: Any) -> None:
        for group, rows in parts:
            group.send(batch[rows])
        for group, _ in parts:
            group.receive()

    return step, actions


def random_actions(space: Space[Any], cfg: Config) -> list[Any]:
    """Batches ``[N]`` counted from 0, or ``[N, D]``, as the learner would send them."""
    draw = np.random.default_rng(cfg.seed)
    if isinstance(space, Discrete):
        return list(draw.integers(space.n, size=(ACTIONS, cfg.num_envs)))
    assert isinstance(space, Box)
    return list(draw.uniform(-1, 1, size=(ACTIONS, cfg.num_envs, *space.shape)).astype(np.float32))


def _step_for(step: Callable[[Any], Any], actions: list[Any], seconds: float, least: int) -> tuple[int, float]:
    begin, steps = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds or steps < least:
        step(actions[steps % len(actions)])
        steps += 1
    synchronize()
    return steps, time.perf_counter() - begin


def synchronize() -> None:
    """Wait for the GPU, if there is one: its work belongs to the measured time."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+", metavar="key=value", help="settings as for a2c train")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured time; a tenth more warms up")
    parser.add_argument("--random", action="store_true", help="environments alone, random actions")
    args = parser.parse_args()
    cfg = a2c.load_config(*args.overrides)
    found = measure_random(cfg, args.seconds) if args.random else measure_learning(cfg, args.seconds)
    facts = {"env": cfg.env.id, "num_envs": cfg.num_envs, "n_step": cfg.n_step, "vectorization": cfg.vectorization}
    print(json.dumps({"overrides": args.overrides, **facts, **found, **peak_memory()}))


if __name__ == "__main__":
    main()
