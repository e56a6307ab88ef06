"""A run that is stopped again and again, in order or by force, ends as one that nobody disturbed.

``SOAK_STOPS`` stops (100 unless told) are shared out over the setups below. Each time the very same command goes on,
with ``resume=auto``. A run that ends before its stops are used up begins anew.
"""

from __future__ import annotations

import importlib.util
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from a2c.run.summary import Summary
from a2c.storage.metrics_file import METRICS, read_rows
from soak.record import newest, outcome, spread, store, table
from soak.session import PATIENCE, Session, session

STOPS = int(os.environ.get("SOAK_STOPS", "100"))
SEED = 12
LONGEST = 3.0  # seconds of training before a stop; one in five comes within as long of the start of the process
BOUND = 10.0  # seconds that a stop in order may take; noted, and not asserted on a machine that others use too
COMMON = (
    "device=cpu",
    "threads=1",
    "wandb.mode=disabled",
    "gif=false",
    "resume=auto",
    "eval.episodes=2",
    "eval.final_episodes=2",
)
SETUPS: dict[str, tuple[str, ...]] = {
    "CartPole, workers": (
        *("env=cartpole", "vectorization=workers", "num_workers=2", "main_shard=false", "num_envs=8"),
        *("total_steps=40_000", "log_every=400", "checkpoint.every=1_000", "eval.every=8_000", "eval.apart=false"),
    ),
    "Pendulum, all normalisers, two groups": (
        *("env=pendulum", "vectorization=sync", "env_groups=2", "num_envs=4"),
        *("normalize_obs=true", "normalize_reward=true", "normalize_advantage=true"),
        *("total_steps=30_000", "log_every=300", "checkpoint.every=900", "eval.every=6_000", "eval.apart=true"),
    ),
    "Breakout, sticky actions": (
        *("env=breakout", "vectorization=sync", "num_envs=2", "env.max_episode_steps=60"),
        *("env.atari.repeat_action_probability=0.25", "env.atari.screen_size=42", "network.hidden_sizes=[32]"),
        *("total_steps=4_000", "log_every=100", "checkpoint.every=200", "eval.every=1_000", "eval.apart=false"),
    ),
    "HalfCheetah, workers": (
        *("env.id=HalfCheetah-v5", "env=custom", "vectorization=workers", "num_workers=1", "num_envs=2"),
        *("env.max_episode_steps=150", "main_shard=true", "normalize_obs=true", "normalize_reward=true"),
        *("total_steps=12_000", "log_every=200", "checkpoint.every=600", "eval.every=3_000", "eval.apart=true"),
    ),
    "LunarLander, async": (
        *("env=lunarlander", "vectorization=async", "num_envs=3"),
        *("total_steps=12_000", "log_every=150", "checkpoint.every=450", "eval.every=3_000", "eval.apart=true"),
    ),
    "CartPole on the device": (
        *("env=cartpole_device", "num_envs=32"),
        *("total_steps=200_000", "log_every=2_000", "checkpoint.every=6_000", "eval.every=50_000", "eval.apart=false"),
    ),
    "A3C, one worker": (
        *("env=cartpole", "algo=a3c", "num_workers=1", "num_envs=2", "n_step=5"),
        *("total_steps=20_000", "log_every=200", "checkpoint.every=600", "eval.every=5_000", "eval.apart=true"),
    ),
}
NEEDS = {"HalfCheetah, workers": "mujoco", "Breakout, sticky actions": "ale_py", "LunarLander, async": "Box2D"}
MISSING = {setup: module for setup, module in NEEDS.items() if importlib.util.find_spec(module) is None}
PRESENT = [setup for setup in SETUPS if setup not in MISSING]
figures: dict[str, dict[str, Any]] = {}


def share(setup: str) -> int:
    """How many of the stops are of this setup."""
    return STOPS // len(PRESENT) + (PRESENT.index(setup) < STOPS % len(PRESENT))


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("setup", PRESENT)
def test_a_stopped_run_ends_as_an_undisturbed_one(setup: str, tmp_path: Path) -> None:
    overrides = (*COMMON, *SETUPS[setup])
    with session(tmp_path / "undisturbed", tmp_path / "undisturbed" / "runs", *overrides) as whole:
        assert whole.process.wait(10 * PATIENCE) == 0, whole.err.read_text()
        assert whole.folder is not None
        expected = outcome(whole.folder)
    draw = random.Random(f"{SEED} {setup}")
    stops = Stops(share(setup), draw)
    rounds = 0
    while stops.owed or not rounds:
        rounds += 1
        home = tmp_path / f"round{rounds}"
        folder = stops.train_to_the_end(home, overrides)
        assert outcome(folder) == expected, f"round {rounds} of {setup} in {folder}"
    figures[setup] = {**stops.figures(), "rounds": rounds, "overrides": list(SETUPS[setup])}


class Stops:
    """The stops that a setup still owes, half of them by force, and what they cost."""

    def __init__(self, count: int, draw: random.Random) -> None:
        kinds = [("SIGKILL", "SIGTERM")[k % 2] for k in range(count)]
        draw.shuffle(kinds)
        self.owed, self._draw = kinds, draw
        self.seconds: list[float] = []  # of those in order
        self.lost: list[float] = []  # env steps of rows that a stop by force cost
        self.kinds: Counter[str] = Counter()
        self.early = 0  # in order, but while the program did not listen

    def train_to_the_end(self, home: Path, overrides: tuple[str, ...]) -> Path:
        """Train one run, with the stops that are owed; returns its folder."""
        while True:
            with session(home, home / "runs", *overrides) as running:
                if self.owed:
                    over = self._stop(running)
                else:
                    code = running.process.wait(10 * PATIENCE)
                    assert code == 0, f"{code}: {running.err.read_text()}"
                    over = True
                left = running.left()
                assert not left, f"left behind: {', '.join(left)}"
                if over:
                    assert running.folder is not None
                    return running.folder

    def _stop(self, running: Session) -> bool:
        """Stop a session at a time that is drawn; returns whether the run had finished before."""
        if self._draw.random() < 0.8:
            assert running.wait_until(lambda: running.ended or running.begun()), "it did not begin"
        delay = self._draw.random() * LONGEST
        running.wait_until(lambda: running.ended, delay)
        if running.ended:
            assert running.process.returncode == 0, running.err.read_text()
            return True
        kind = self.owed[-1]
        seconds, code = running.send(kind), running.process.returncode
        if code == 0:  # it was about to end by itself
            return True
        self.owed.pop()
        self.kinds[kind] += 1
        if kind == "SIGTERM":
            self.seconds.append(seconds)
            # Before our handlers are in place, and after, a signal ends a process as the system does.
            assert code == 143 or (code == -15 and (not running.begun() or finished(running.folder))), (
                f"{code} at the age of {running.age:.1f} s: {running.err.read_text()} {running.out.read_text()}"
            )
            self.early += code != 143
        else:
            assert code == -9
            self.lost.append(lost_steps(running.folder))
        return False

    def figures(self) -> dict[str, Any]:
        late = sum(seconds > BOUND for seconds in self.seconds)
        return {
            "stops": dict(sorted(self.kinds.items())),
            "seconds of SIGTERM": spread(self.seconds),
            "SIGTERM over 10 s": late,
            "SIGTERM before or after the program listens": self.early,
            "env steps lost by SIGKILL": spread(self.lost),
        }


def finished(folder: Path | None) -> bool:
    """Whether the run has written its summary to the end."""
    summary = None if folder is None else Summary.read(folder)
    return summary is not None and summary.stopped is None


def lost_steps(folder: Path | None) -> float:
    """Env steps between the newest checkpoint and the last row: those that are made again."""
    if folder is None or not (rows := read_rows(folder / METRICS)):
        return 0.0
    saved = newest(folder)["state"]["env_steps"] if (folder / "checkpoints" / "last.pt").exists() else 0
    return float(max(0, rows[-1]["global_step"] - saved))


@pytest.fixture(scope="module", autouse=True)
def told() -> Any:
    """Once all setups have run, write the record and print the table."""
    yield
    if figures.keys() != set(PRESENT):  # some failed, or only some were asked for
        return
    total: Counter[str] = Counter()
    for figure in figures.values():
        total.update(figure["stops"])
    left_out = {setup: f"{module} is not installed" for setup, module in MISSING.items()}
    store("stops", {"stops": dict(total), "seed": SEED, "left out": left_out, "setups": figures})
    rows: list[tuple[object, ...]] = [("setup", "stops", "rounds", "SIGTERM s (median, worst)", "steps lost (worst)")]
    for setup, figure in figures.items():
        seconds, lost = figure["seconds of SIGTERM"] or {}, figure["env steps lost by SIGKILL"] or {}
        times = f"{seconds.get('median')}, {seconds.get('worst')}"
        rows.append((setup, sum(figure["stops"].values()), figure["rounds"], times, lost.get("worst")))
    lines = [table(rows), *(f"LEFT OUT: {setup}: {why}" for setup, why in left_out.items())]
    print("\n" + "\n".join(lines))
