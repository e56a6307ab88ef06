"""Steps per second of our training loop, or of its environments alone, as one JSON line.

    python benchmarks/our_speed.py env.id=CartPole-v1 num_envs=16 threads=1
    python benchmarks/our_speed.py env.id=CartPole-v1 vectorization=native --random    # random actions, no learning

The loop is that of `a2c train`, and it drains metrics every `log_every` steps. The time does not include evaluations,
checkpoints, the start of the environments or the warm-up, whose length is in the record since it may compile.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from memory import peak_memory

import a2c
from a2c.build import build, make_envs
from a2c.envs.backends import autoreset_mode
from a2c.envs.device.lockstep import DeviceEnvs
from a2c.envs.groups import EnvGroups
from a2c.envs.seeding import TRAIN, env_seed, env_seeds
from a2c.envs.spaces import Spaces
from a2c.machine.clock import LOOP
from a2c.run.state import TrainState
from a2c.settings.config import Config
from a2c.trainer import updates

WARM_UP = 0.1  # of the measured time, and at least so many updates or steps:
WARM_UPDATES = 5
WARM_STEPS = 5
ACTIONS = 50  # batches of random actions, drawn beforehand


@dataclass(frozen=True, slots=True)
class Trained:
    """Where training is, and how many updates and seconds it took to get there."""

    state: TrainState
    updates: int
    seconds: float


def train_for(loop: Iterator[TrainState], drain: Callable[[TrainState], None], seconds: float, least: int) -> Trained:
    """Continue the loop of ``a2c train``.

    Args:
        loop: from :func:`a2c.trainer.updates`.
        drain: reads the metrics where they are due, as a run does.
        seconds: to train.
        least: updates, even if they take longer.
    """
    begin = time.perf_counter()
    states = []
    while time.perf_counter() - begin < seconds or len(states) < least:
        states.append(next(loop))
        drain(states[-1])
    synchronize()
    return Trained(states[-1], len(states), time.perf_counter() - begin)


def decided(cfg: Config) -> Config:
    """With a value for each setting that is auto; earlier checkouts, which before_after.py measures, have none."""
    try:
        from a2c.envs.look import decided
    except ImportError:
        return cfg
    return decided(cfg)


def measure_learning(cfg: Config, seconds: float) -> dict[str, Any]:
    """Train for ``seconds`` after a warm-up; returns the speed, and where the time went by the clock of the loop."""
    cfg = decided(cfg)
    with make_envs(cfg) as envs:
        learner, collector = build(cfg, envs)
        loop = updates(learner, collector, TrainState(), sys.maxsize)
        drained = 0

        def drain(state: TrainState) -> None:
            nonlocal drained
            if state.env_steps // cfg.log_every > drained:
                drained = state.env_steps // cfg.log_every
                learner.drain_metrics(state.env_steps)
                collector.metrics()

        warm = train_for(loop, drain, WARM_UP * seconds, WARM_UPDATES)
        collector.clock.shares()  # shares count from here on
        found = train_for(loop, drain, seconds, 1)
        share = collector.clock.shares()
        weights = sum(param.numel() for param in learner.model.parameters())
        device = str(next(learner.model.parameters()).device)
        plan = asdict(envs.plan)
    steps = found.state.env_steps - warm.state.env_steps
    return {
        "steps": steps,
        "updates": found.updates,
        "seconds": found.seconds,
        "steps_per_second": steps / found.seconds,
        "share": {part: share[part] for part in LOOP},  # draining metrics counts as update
        "warm_up_seconds": warm.seconds,
        "weights": weights,
        "device": device,
        "environments": plan,
        "threads": torch.get_num_threads(),
    }


def measure_random(cfg: Config, seconds: float) -> dict[str, Any]:
    """The same environments, as the trainer steps them, with random actions: no training is faster.

    In ``steps`` all rows count, so that the limit is not too low; ``transitions_per_second``, of environments on the
    host, leaves out those that NEXT_STEP spends on a reset.
    """
    cfg = decided(cfg)
    with make_envs(cfg) as envs:
        step, actions = begun(envs.envs, cfg)
        _step_for(step, actions, WARM_UP * seconds, WARM_STEPS)
        resets(envs.envs)  # those of the warm-up
        steps, elapsed = _step_for(step, actions, seconds, 1)
        lost = resets(envs.envs)
    rows = steps * cfg.num_envs
    found = {"steps": rows, "seconds": elapsed, "steps_per_second": rows / elapsed}
    return found if lost is None else {**found, "transitions_per_second": (rows - lost) / elapsed}


def resets(envs: EnvGroups | DeviceEnvs) -> int | None:
    """How many rows were resets since the last call: with NEXT_STEP the one after each end; None on the device."""
    if isinstance(envs, DeviceEnvs):
        return None
    ended = [(autoreset_mode(group.envs), len(group.drain_episodes())) for group in envs.groups]
    return sum(count for mode, count in ended if mode is AutoresetMode.NEXT_STEP)


def begun(envs: EnvGroups | DeviceEnvs, cfg: Config) -> tuple[Callable[[Any], Any], list[Any]]:
    """Reset the environments; returns a function that steps them as the trainer does, and random actions for it."""
    actions = random_actions(envs.spaces, cfg)
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


def random_actions(spaces: Spaces, cfg: Config) -> list[Any]:
    """Batches of actions as the learner sends them: ``[N]`` counted from 0, or ``[N, D]``."""
    draw = np.random.default_rng(cfg.seed)
    if spaces.discrete:
        return list(draw.integers(spaces.actions, size=(ACTIONS, cfg.num_envs)))
    return list(draw.uniform(-1, 1, size=(ACTIONS, cfg.num_envs, spaces.actions)).astype(np.float32))


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
    cfg = decided(a2c.load_config(*args.overrides))
    found = measure_random(cfg, args.seconds) if args.random else measure_learning(cfg, args.seconds)
    facts = {"env": cfg.env.id, "num_envs": cfg.num_envs, "n_step": cfg.n_step, "vectorization": cfg.vectorization}
    print(json.dumps({"overrides": args.overrides, **facts, **found, **peak_memory()}))


if __name__ == "__main__":
    main()
