#!/usr/bin/env python3
"""Which settings should a run have that nobody tuned? What docs/defaults.md says is measured here.

    python benchmarks/defaults.py screen --draws 24    # many settings drawn jointly, on six environments
    python benchmarks/defaults.py confirm              # the defaults and plain A2C, on twelve, over seeds
    python benchmarks/defaults.py draw                 # the tables again, from the stored runs   # make bench-defaults

Every run is stored as it ends; what is stored is not trained again, so both may be stopped anywhere, and several
processes may share the work; the table of `confirm` goes into docs/defaults.md. Scores are of greedy episodes on fresh
seeds: of the best checkpoint, and of the last network, beside a scale from the random policy (0) to a good one (1). In
the screen it is the last that counts: a network that was good once is of no use.
"""

from __future__ import annotations

import argparse
import fcntl
import random
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

from learning_tables import in_markdown, placed
from processes import HERE, store, stored

import a2c
from a2c.run.statistics import bootstrap_interval, iqm
from a2c.storage.folders import CHECKPOINTS
from learning import read_run, trained
from machine import describe_machine

RESULTS = HERE / "results"
SCREEN, CONFIRM = RESULTS / "defaults_screen.json", RESULTS / "defaults_confirm.json"
DOCUMENT = HERE.parent / "docs" / "defaults.md"


@dataclass(frozen=True, slots=True)
class World:
    """An environment, how long to train on it, and two scores: of the random policy, and a good one."""

    env: str
    steps: int
    random: float
    good: float
    episodes: int = 20  # of a score

    def scaled(self, score: float) -> float:
        return (score - self.random) / (self.good - self.random)


WORLDS = {
    "CartPole": World("CartPole-v1", 100_000, 22, 500, 100),
    "Acrobot": World("Acrobot-v1", 500_000, -500, -80, 100),
    "MountainCar": World("MountainCar-v0", 1_000_000, -200, -105, 100),
    "Pendulum": World("Pendulum-v1", 1_000_000, -1220, -150, 100),
    "LunarLander": World("LunarLander-v3", 1_000_000, -180, 220, 100),
    "LunarLander, continuous": World("LunarLanderContinuous-v3", 1_000_000, -180, 220, 100),
    "HalfCheetah": World("HalfCheetah-v5", 1_000_000, -280, 3000),
    "Walker2d": World("Walker2d-v5", 1_000_000, 0, 1000),
    "Reacher": World("Reacher-v5", 1_000_000, -43, -5),
    "MiniGrid-Empty": World("MiniGrid-Empty-8x8-v0", 150_000, 0, 0.96),
    "FrozenLake": World("FrozenLake-v1", 300_000, 0.015, 0.74, 1000),
    "Catch": World("catch:Catch-v0", 100_000, -0.6, 1, 100),
}
SCREENED = ("Acrobot", "Pendulum", "LunarLander", "LunarLander, continuous", "HalfCheetah", "Walker2d")
SCREEN_STEPS = 300_000
SEEDS = range(101, 106)
KEPT = 0.9  # the share of the best checkpoint's gain over the random policy that the last network shall keep

# Of each factor what may be drawn in the place of the default, which a draw keeps more often than not.
FACTORS: Mapping[str, tuple[str, ...]] = {
    "batch": tuple(f"num_envs={n} n_step={t}" for n, t in ((16, 8), (8, 16), (16, 16), (8, 32), (16, 5), (4, 8))),
    "step": ("lr=3e-4", "lr=1.4e-3", "optimizer=rmsprop", "optimizer=rmsprop_tf"),
    "schedule": ("lr_schedule=constant",),
    "lambda": ("gae_lambda=0.95", "gae_lambda=0.9", "gae_lambda=1"),
    "gamma": ("gamma=0.995", "gamma=0.98"),
    "clip": ("max_grad_norm=0.5",),
    "value_coef": ("value_coef=0.5",),
    "value_loss": ("value_loss=huber",),
    "critic_lr": ("critic_lr=2e-3",),
    "beta": ("beta=0", "beta=3e-3", "beta=2e-2"),
    "observations": ("normalize_obs=false",),
    "rewards": ("normalize_reward=false",),
    "advantages": ("normalize_advantage=true",),
    "layer_norm": ("network.layer_norm=critic", "network.layer_norm=none"),
    "width": ("network.hidden_sizes=[64,64]", "network.hidden_sizes=[256,256]"),
    "activation": ("network.activation=tanh", "network.activation=silu"),
    "spread": ("network.log_std_init=-0.5", "network.log_std_init=-1"),
    "distribution": ("policy.distribution=gaussian", "policy.distribution=gsde"),
}
STAYS = 0.75  # of eighteen factors, some four change

# Against what the defaults stand, each in the settings that a user would type.
CANDIDATES: Mapping[str, tuple[str, ...]] = {"defaults": (), "plain A2C": ("algo=a2c_paper",)}


def drawn(number: int) -> dict[str, str]:
    """The choice of every factor in draw ``number``, empty where the default stays, as all do in the first draw."""
    chance = random.Random(number)
    return {
        name: "" if number == 0 or chance.random() < STAYS else chance.choice(choices)
        for name, choices in FACTORS.items()
    }


def train(world: World, overrides: list[str], seed: int, runs_dir: Path) -> dict[str, Any]:
    """Train once; the scores, raw and scaled, of the best checkpoint and of the last."""
    shape = (f"env.id={world.env}", f"total_steps={world.steps}", f"eval.every={max(world.steps // 20, 20_000)}")
    label = f"defaults-{world.env.rpartition(':')[2]}-{seed}-{crc32(' '.join(overrides).encode()):08x}"
    more = [f"eval.final_episodes={world.episodes}", f"seed={seed}"]
    folder = trained([*shape, *more, *overrides], label, runs_dir)
    run = read_run(folder)
    last = a2c.evaluate(a2c.load_policy(folder / CHECKPOINTS / "last.pt"), world.episodes).mean
    return {
        "seed": seed,
        "last": last,
        "score": run["score"],
        "scaled last": world.scaled(last),
        "scaled score": world.scaled(run["score"]),
        "wall_seconds": run["wall_seconds"],
    }


def keep(path: Path, run: dict[str, Any], command: str) -> None:
    """Store one more run; several processes may do so."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        results = stored(path) or {"command": command, "machine": describe_machine(), "runs": []}
        results["runs"].append(run)
        store(path, results)


def screen(draws: range, names: list[str], runs_dir: Path, path: Path) -> None:
    """Train every draw on every environment, but for those that are stored."""
    for number in draws:
        for name in names:
            if any((run["draw"], run["world"]) == (number, name) for run in (stored(path) or {}).get("runs", [])):
                continue
            choice = drawn(number)
            overrides = [text for chosen in choice.values() for text in chosen.split()]
            world = replace(WORLDS[name], steps=SCREEN_STEPS)
            run = train(world, overrides, number + 1, runs_dir)
            keep(path, {"world": name, "draw": number, **run, "choice": choice}, "python benchmarks/defaults.py screen")
            print(f"draw {number}, {name}: {run['last']:.4g} ({run['scaled last']:.2f})", flush=True)


def confirm(candidates: list[str], names: list[str], seeds: range, runs_dir: Path, path: Path) -> None:
    """Train every candidate on every environment over seeds, but for those that are stored."""
    for seed in seeds:
        for name in names:
            for candidate in candidates:
                key = {"world": name, "candidate": candidate, "seed": seed}
                if any(key.items() <= run.items() for run in (stored(path) or {}).get("runs", [])):
                    continue
                run = train(WORLDS[name], list(CANDIDATES[candidate]), seed, runs_dir)
                keep(path, {**run, **key}, "python benchmarks/defaults.py confirm")
                print(f"{candidate}, {name}, seed {seed}: {run['score']:.4g}, last {run['last']:.4g}", flush=True)


def effects(runs: list[dict[str, Any]]) -> Iterator[list[str]]:
    """A row for every choice: how many draws had it, and by how much their mean score is above that of all draws."""
    worlds = list(dict.fromkeys(run["world"] for run in runs))
    mean = {world: statistics.mean(run["scaled last"] for run in runs if run["world"] == world) for world in worlds}
    yield ["factor", "choice", "draws", "all", *worlds]
    for factor, choices in FACTORS.items():
        for choice in ("", *choices):
            having = [run for run in runs if run["choice"][factor] == choice]
            if not having:
                continue
            gains = {
                world: [run["scaled last"] - mean[world] for run in having if run["world"] == world] for world in worlds
            }
            every = [gain for found in gains.values() for gain in found]
            low, high = bootstrap_interval(every)
            cells = [f"{statistics.mean(found):+.2f}" if found else "" for found in gains.values()]
            count = len({run["draw"] for run in having})
            yield [
                factor,
                f"`{choice}`" if choice else "default",
                str(count),
                f"{statistics.mean(every):+.2f} [{low:+.2f}, {high:+.2f}]",
                *cells,
            ]


def scores(runs: list[dict[str, Any]]) -> Iterator[list[str]]:
    """A row for every environment; of each candidate the best checkpoint, its place on the scale, and the last network.

    Behind the score of the last network: of how many seeds it stands at :data:`KEPT` or more of their best one.
    """
    names = list(dict.fromkeys(run["candidate"] for run in runs))
    columns = (column for name in names for column in (f"{name}: best", "on the scale", "last (kept)"))
    yield ["environment", "steps", "random, good", "seeds", *columns]
    for name, world in WORLDS.items():
        by = [[run for run in runs if (run["world"], run["candidate"]) == (name, candidate)] for candidate in names]
        if any(by):
            counts = ", ".join(str(len(found)) for found in by)
            about = [name, f"{world.steps // 1000}k", f"{world.random:g}, {world.good:g}", counts]
            yield [*about, *(cell for found in by for cell in _cells(world, found))]


def _cells(world: World, found: list[dict[str, Any]]) -> list[str]:
    if not found:
        return ["", "", ""]
    best, last = ([run[key] for run in found] for key in ("score", "last"))
    low, high = bootstrap_interval(best)
    kept = sum(run["last"] - world.random >= KEPT * (run["score"] - world.random) for run in found)
    return [
        f"**{iqm(best):.4g}** [{low:.4g}, {high:.4g}]",
        f"{world.scaled(iqm(best)):.2f}",
        f"{iqm(last):.4g} ({kept} of {len(found)})",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("screen", "confirm", "draw"))
    parser.add_argument("--draws", type=int, default=24, help="how many are drawn")
    parser.add_argument("--first", type=int, default=0, help="begin with this draw: others may be at work elsewhere")
    parser.add_argument("--worlds", nargs="+", choices=WORLDS)
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES))
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="the first so many")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs/bench-defaults"))
    args = parser.parse_args()
    if args.what == "screen":
        screen(range(args.first, args.draws), args.worlds or list(SCREENED), args.runs_dir, SCREEN)
    if args.what == "confirm":
        confirm(args.candidates, args.worlds or list(WORLDS), SEEDS[: args.seeds], args.runs_dir, CONFIRM)
    for path, rows in ((SCREEN, effects), (CONFIRM, scores)):
        if results := stored(path):
            text = in_markdown(rows(results["runs"]))
            path.with_suffix(".md").write_text(text)
            print(text)
            if path is CONFIRM:
                DOCUMENT.write_text(placed(text, CONFIRM.stem, DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
