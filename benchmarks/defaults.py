#!/usr/bin/env python3
"""Which settings should a run have that nobody tuned? What docs/defaults.md says is measured here.

    python benchmarks/defaults.py screen --draws 24    # many settings drawn jointly, on six environments
    python benchmarks/defaults.py confirm              # the defaults and plain A2C, on twelve, over seeds
    python benchmarks/defaults.py draw                 # the tables again, from the stored runs   # make bench-defaults

Every run is stored as it ends; what is stored is not trained again, so both may be stopped anywhere. Scores stand on
a scale from the random policy (0) to a good one (1): in the screen the mean of the last two evaluations, so that a
network that was good once does not count; in the confirmation the best checkpoint on fresh seeds, and the last two.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import HERE, store, stored

from a2c.run.statistics import bootstrap_interval, iqm
from learning import run_training
from machine import describe_machine

RESULTS = HERE / "results"
SCREEN, CONFIRM = RESULTS / "defaults_screen.json", RESULTS / "defaults_confirm.json"


@dataclass(frozen=True, slots=True)
class World:
    """An environment, how long to train on it, and two scores: of the random policy, and a good one."""

    env: str
    steps: int
    random: float
    good: float

    def scaled(self, score: float) -> float:
        return (score - self.random) / (self.good - self.random)


WORLDS = {
    "CartPole": World("CartPole-v1", 100_000, 22, 500),
    "Acrobot": World("Acrobot-v1", 300_000, -500, -80),
    "MountainCar": World("MountainCar-v0", 500_000, -200, -105),
    "Pendulum": World("Pendulum-v1", 300_000, -1220, -150),
    "LunarLander": World("LunarLander-v3", 300_000, -180, 220),
    "LunarLander, continuous": World("LunarLanderContinuous-v3", 300_000, -180, 220),
    "HalfCheetah": World("HalfCheetah-v5", 300_000, -280, 3000),
    "Walker2d": World("Walker2d-v5", 300_000, 0, 1000),
    "Reacher": World("Reacher-v5", 300_000, -43, -5),
    "MiniGrid-Empty": World("MiniGrid-Empty-8x8-v0", 150_000, 0, 0.96),
    "FrozenLake": World("FrozenLake-v1", 300_000, 0.015, 0.74),
    "Catch": World("catch:Catch-v0", 100_000, -0.6, 1),
}
SCREENED = ("Acrobot", "Pendulum", "LunarLander", "LunarLander, continuous", "HalfCheetah", "Walker2d")
SEEDS = range(101, 106)

# The first choice of each factor is the best set that was known before; a draw stays with it more often than not.
FACTORS: Mapping[str, tuple[str, ...]] = {
    "batch": tuple(f"num_envs={n} n_step={t}" for n, t in ((8, 8), (16, 8), (8, 16), (16, 16), (8, 32), (16, 5))),
    "step": (
        "optimizer=adam lr=7e-4",
        "optimizer=adam lr=3e-4",
        "optimizer=adam lr=1.4e-3",
        "optimizer=rmsprop lr=7e-4",
        "optimizer=rmsprop_tf lr=7e-4",
    ),
    "schedule": ("lr_schedule=linear", "lr_schedule=constant"),
    "lambda": ("gae_lambda=0.95", "gae_lambda=0.9", "gae_lambda=0.98"),
    "gamma": ("gamma=0.995", "gamma=0.99"),
    "clip": ("max_grad_norm=2", "max_grad_norm=0.5"),
    "value_coef": ("value_coef=0.25", "value_coef=0.5"),
    "value_loss": ("value_loss=mse", "value_loss=huber"),
    "beta": ("beta=5e-3", "beta=0", "beta=1e-3"),
    "observations": ("normalize_obs=true", "normalize_obs=false"),
    "rewards": ("normalize_reward=true", "normalize_reward=false"),
    "advantages": ("normalize_advantage=false", "normalize_advantage=true"),
    "layer_norm": ("network.layer_norm=none", "network.layer_norm=critic", "network.layer_norm=both"),
    "width": ("network.hidden_sizes=[128,128]", "network.hidden_sizes=[64,64]"),
    "activation": ("network.activation=tanh", "network.activation=relu", "network.activation=silu"),
    "spread": ("network.log_std_init=-0.5", "network.log_std_init=0", "network.log_std_init=-1"),
    "distribution": ("policy.distribution=gaussian", "policy.distribution=gsde", "policy.distribution=squashed"),
}
STAYS = 0.55

# Against what the defaults stand, each in the settings that a user would type.
CANDIDATES: Mapping[str, tuple[str, ...]] = {"defaults": (), "plain A2C": ("algo=a2c_paper",)}


def drawn(number: int) -> dict[str, str]:
    """The choice of every factor in draw ``number``; the first draw is the best set that was known before."""
    chance = random.Random(number)
    return {
        name: choices[0] if number == 0 or chance.random() < STAYS else chance.choice(choices)
        for name, choices in FACTORS.items()
    }


def train(world: World, overrides: list[str], seed: int, runs_dir: Path, *, episodes: int) -> dict[str, Any]:
    """Train once; the scores, raw and scaled."""
    shape = (f"env.id={world.env}", f"total_steps={world.steps}", f"eval.every={world.steps // 6}", "eval.episodes=10")
    label = f"defaults-{world.env.rpartition(':')[2]}-{seed}-{abs(hash(tuple(overrides))) % 10**8}"
    more = [f"eval.final_episodes={episodes}", f"seed={seed}"]
    run = run_training([*shape, *more, *overrides], label, runs_dir)
    last = statistics.mean(run["curve"]["eval_mean"][-2:])
    return {
        "seed": seed,
        "last": last,
        "score": run["score"],
        "scaled last": world.scaled(last),
        "scaled score": world.scaled(run["score"]),
        "wall_seconds": run["wall_seconds"],
    }


def keep(path: Path, run: dict[str, Any], command: str) -> None:
    """Store one more run; several processes may do so in turns."""
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
            run = train(WORLDS[name], overrides, number + 1, runs_dir, episodes=1)
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
                run = train(WORLDS[name], list(CANDIDATES[candidate]), seed, runs_dir, episodes=20)
                keep(path, {**run, **key}, "python benchmarks/defaults.py confirm")
                print(f"{candidate}, {name}, seed {seed}: {run['score']:.4g}, last {run['last']:.4g}", flush=True)


def effects(runs: list[dict[str, Any]]) -> Iterator[list[str]]:
    """A row for every choice: how many draws had it, and by how much their mean score is above that of all draws."""
    worlds = list(dict.fromkeys(run["world"] for run in runs))
    mean = {world: statistics.mean(run["scaled last"] for run in runs if run["world"] == world) for world in worlds}
    yield ["factor", "choice", "draws", "all", *worlds]
    for factor, choices in FACTORS.items():
        for choice in choices:
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
                f"`{choice}`",
                str(count),
                f"{statistics.mean(every):+.2f} [{low:+.2f}, {high:+.2f}]",
                *cells,
            ]


def scores(runs: list[dict[str, Any]]) -> Iterator[list[str]]:
    """A row for every environment: IQM and interval of each candidate, and how the last network stands."""
    names = list(dict.fromkeys(run["candidate"] for run in runs))
    yield ["environment", "steps", "seeds", *(f"{name}: best, last" for name in names)]
    for name, world in WORLDS.items():
        cells, count = [], 0
        for candidate in names:
            found = [run for run in runs if (run["world"], run["candidate"]) == (name, candidate)]
            if found:
                best, last = ([run[key] for run in found] for key in ("score", "last"))
                low, high = bootstrap_interval(best)
                cells.append(f"**{iqm(best):.4g}** [{low:.4g}, {high:.4g}], {iqm(last):.4g}")
                count = len(found)
        if cells:
            yield [name, f"{world.steps // 1000}k", str(count), *cells]


def table(rows: Iterator[list[str]]) -> str:
    heading, *others = rows
    lines = [heading, ["---"] * len(heading), *others]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


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
            text = table(rows(results["runs"]))
            path.with_suffix(".md").write_text(text)
            print(text)


if __name__ == "__main__":
    main()
