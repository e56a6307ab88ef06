"""A training on workers, with a fault every 20 seconds: nothing leaks, nothing is lost, the weights are the same.

It lasts ``SOAK_MINUTES`` (30 unless told), and then hurries to its end.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from a2c.errors import EnvironmentFailure
from a2c.storage.metrics_file import METRICS, read_rows
from soak.faults import Fault, faults, resume, services, small_disk
from soak.life import Life, Sample, difference, too_much
from soak.record import newest, outcome, spread, store, table
from soak.session import PATIENCE, Session, session

MINUTES = float(os.environ.get("SOAK_MINUTES", "30"))
PERIOD = 20.0  # seconds between faults
SEED = 12
PAUSE = 0.01  # seconds of an environment's step
NUM_ENVS, WORKERS = 4, 2
FASTEST = WORKERS / PAUSE  # env steps in a second that nobody exceeds, so that it lasts as long as it should
STALLED = 120.0  # seconds without a row
LASTS = 60.0  # seconds in which a fault may show
IN_A_REPLAY = "playing its episode again"  # of a resume; what raises then ends the session, and the next tries again


def settings(todo: Path, hurry: Path) -> tuple[str, ...]:
    total = int(FASTEST * 60 * MINUTES)
    return (
        *("env.id=unhurried:Unhurried-v0", f"env.kwargs={{todo:'{todo}',hurry:'{hurry}',pause:{PAUSE},age:5}}"),
        *("vectorization=workers", f"num_workers={WORKERS}", "main_shard=false", f"num_envs={NUM_ENVS}", "n_step=5"),
        *("env.restarts=100_000", "env.step_timeout=5", "normalize_obs=true", "normalize_reward=true"),
        *(f"total_steps={total}", "log_every=200", "checkpoint.every=800", f"eval.every={total // 6}"),
        *("eval.episodes=2", "eval.final_episodes=2", "eval.apart=false"),
        *("device=cpu", "threads=1", "wandb.mode=offline", "gif=false", "resume=auto"),
    )


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_faults_cost_nothing_and_leak_nothing(tmp_path: Path) -> None:
    todo, hurry = tmp_path / "todo", tmp_path / "hurry"
    todo.mkdir()
    hurry.touch()
    overrides = settings(todo, hurry)
    with session(tmp_path / "undisturbed", tmp_path / "undisturbed" / "runs", *overrides) as whole:
        assert whole.process.wait(20 * PATIENCE) == 0, whole.err.read_text()
        assert whole.folder is not None
        expected = outcome(whole.folder)
    hurry.unlink()
    with small_disk(tmp_path / "disk") as refused:
        runs = tmp_path / "disk" / "runs"
        draw = random.Random(SEED)
        torment = Torment(faults(todo, None if refused else tmp_path / "disk", draw), hurry, draw)
        folder = torment.train_to_the_end(tmp_path / "disturbed", runs, overrides)
        found = outcome(folder)
    report(torment, refused)
    assert found == expected
    assert not torment.leaks(), "; ".join(torment.leaks())


class Torment:
    """Strikes a run until its time is up, and watches what it holds and what it has acknowledged."""

    def __init__(self, kinds: list[Fault], hurry: Path, draw: random.Random) -> None:
        self._hurry, self._turns = hurry, turns(kinds, draw)
        self.counts: Counter[str] = Counter()
        self.codes: Counter[int] = Counter()
        self.seconds: list[float] = []  # of stops in order
        self.lost: list[float] = []  # env steps of rows that a death cost
        self.lives: list[Life] = []
        self._acknowledged: list[dict[str, Any]] = []
        self.began = time.monotonic()
        self.ended = self.began + 60 * MINUTES
        self._next = self.began + PERIOD
        self.minutes = 0.0  # for which there were faults
        self._struck: list[tuple[float, Fault]] = []  # what may still show, and when it struck

    def train_to_the_end(self, home: Path, runs: Path, overrides: tuple[str, ...]) -> Path:
        """Go on with the same command until the run is finished; returns its folder."""
        while True:
            with session(home, runs, *overrides) as running:
                self.lives.append(Life(running.pid))
                running.wait_until(lambda running=running: running.ended or running.begun())  # type: ignore[misc]
                self._live(running)
                code = running.process.wait(PATIENCE)
                last = ", ".join(fault.name for _, fault in self._struck)
                words = f"exit code {code} after {last}: {running.err.read_text()} {running.out.read_text()[-2000:]}"
                known = code == 0 or any(code in fault.codes for _, fault in self._struck)
                assert known or (code == EnvironmentFailure.exit_code and IN_A_REPLAY in words), words
                if code == -signal.SIGKILL:  # nobody is left to end a service of W&B's that hangs
                    resume(services(running))
                left = running.left()
                assert not left, f"left behind after {last}: {', '.join(left)}"
                self.codes[code] += 1
                folder = running.folder
                assert folder is not None
                self._check_rows(folder, died=code != 0)
                if code == 0:
                    return folder

    def _live(self, running: Session) -> None:
        """Watch and strike a session until it ends."""
        moved, stamp = time.monotonic(), running.stamp()
        while not running.wait_until(lambda: running.ended, 1.0):
            self.lives[-1].look(running.age)
            now = time.monotonic()
            if running.stamp() != stamp:
                moved, stamp = now, running.stamp()
            assert now - moved < STALLED, f"no row for {STALLED:g} s after {self._struck[-1:]}"
            if self._next <= now < self.ended:
                self._next = now + PERIOD
                self._strike(running)
                self.minutes = (now - self.began) / 60
            if now >= self.ended and not self._hurry.exists():
                self._hurry.touch()

    def _strike(self, running: Session) -> None:
        """The next fault for which there is something to harm."""
        while True:
            fault, begin = next(self._turns), time.monotonic()
            if fault.strike(running):
                self.counts[fault.name] += 1
                if fault.name == "SIGTERM":
                    self.seconds.append(time.monotonic() - begin)
                # One that ends the trainer may take its time: the next fault may strike while it ends.
                self._struck = [*((at, old) for at, old in self._struck if begin - at < LASTS), (begin, fault)]
                return

    def _check_rows(self, folder: Path, *, died: bool) -> None:
        """What was in the file and in a checkpoint is still there; no step comes twice."""
        rows = read_rows(folder / METRICS)
        steps = [row["global_step"] for row in rows]
        assert all(a < b for a, b in itertools.pairwise(steps)), "rows do not increase"
        assert rows[: len(self._acknowledged)] == self._acknowledged, "rows that were acknowledged are gone"
        if not died or not (folder / "checkpoints" / "last.pt").exists():
            return
        saved = newest(folder)["state"]["env_steps"]
        self._acknowledged = [row for row in rows if row["global_step"] < saved]
        self.lost.append(float(max(0, steps[-1] - saved)) if steps else 0.0)

    def leaks(self) -> list[str]:
        """What grew within a life, and from the first life to any later one at the same age."""
        grown = [(f"life {k + 1}", life.growth()) for k, life in enumerate(self.lives)]
        young = [life.young() for life in self.lives]
        first = next((sample for sample in young if sample), None)
        if first is not None:
            grown += [(f"life {k + 1} against the first", difference(s, first)) for k, s in enumerate(young) if s]
        return [f"{name}: {what}" for name, growth in grown if growth for what in too_much(growth)]


def turns(kinds: list[Fault], draw: random.Random) -> Iterator[Fault]:
    """Rounds of all that a trainer survives, in any order; then something that ends it, one after the other."""
    survived = [fault for fault in kinds if None in fault.codes]
    ends = [fault for fault in kinds if None not in fault.codes]
    number = 0
    while True:
        yield from draw.sample(survived, len(survived))
        yield ends[number % len(ends)]
        number += 1


def report(torment: Torment, refused: str | None) -> None:
    """Write the record and print the table."""

    def plain(sample: Sample | None) -> dict[str, float] | None:
        return None if sample is None else {name: round(value, 1) for name, value in asdict(sample).items()}

    left_out = {} if refused is None else {"the disk is full": refused}
    lives = [
        {
            "seconds": round(life.samples[-1][0]) if life.samples else 0,
            "warm": plain(life.young()),
            "growth": plain(life.growth()),
        }
        for life in torment.lives
    ]
    figures = {
        "minutes of faults": round(torment.minutes, 1),
        "minutes": round((time.monotonic() - torment.began) / 60, 1),
        "asked for": MINUTES,
        "faults": dict(torment.counts),
        "left out": left_out,
        "exit codes": {str(code): count for code, count in torment.codes.items()},
        "seconds of SIGTERM": spread(torment.seconds),
        "env steps lost by a death": spread(torment.lost),
        "leaks": torment.leaks(),
        "lives": lives,
    }
    store("kill run", figures)
    rows: list[tuple[object, ...]] = [("fault", "times"), *torment.counts.items()]
    lines = [table(rows), *(f"LEFT OUT: {fault}: {why}" for fault, why in left_out.items())]
    lines += [f"life of {life['seconds']} s: growth {life['growth']}" for life in lives]
    lines.append(f"SIGTERM {figures['seconds of SIGTERM']}, steps lost {figures['env steps lost by a death']}")
    print("\n" + "\n".join(lines))
