"""A rank of two is killed at a random moment, ten times: each run ends as the one that nobody disturbed.

The moments are drawn from ``SOAK_SEED``, which is printed; without it, from one that is new each time.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from a2c.playing.evaluation import eval_seeds
from a2c.storage.metrics_file import METRICS, read_rows
from rank_processes import ranks_of
from rank_toys import JUDGED
from soak.record import outcome, spread, store, table
from soak.session import PATIENCE, Session, session

SEED = int(os.environ.get("SOAK_SEED", random.SystemRandom().randrange(10_000)))
KILLS = int(os.environ.get("SOAK_KILLS", "10"))
MOMENTS = ("starting", "collecting", "evaluating", "saving")
RUN_SEED, EPISODES, RANKS = 3, 7, 2
ROWS = 20  # of a run
LOOK = 0.0005  # seconds between looks for a file that is there for milliseconds


def settings(folder: Path) -> tuple[str, ...]:
    seeds = [*eval_seeds(RUN_SEED, EPISODES), *eval_seeds(RUN_SEED, EPISODES, final=True)]
    return (
        *("env.id=rank_toys:Told-v0", f"env.kwargs={{folder:'{folder}',seeds:{seeds},pause:0.001,judged:0.003}}"),
        *(f"ranks={RANKS}", "num_envs=4", "n_step=5", "vectorization=sync", "normalize_obs=true"),
        *(f"total_steps={ROWS * 400}", "log_every=400", "checkpoint.every=1200", "eval.every=2400"),
        *(f"eval.episodes={EPISODES}", f"eval.final_episodes={EPISODES}", "network.hidden_sizes=[512,512]"),
        *(f"seed={RUN_SEED}", "device=cpu", "threads=1", "wandb.mode=disabled", "gif=false"),
    )


class Moment:
    """When to kill: at the beginning of something, or a little later.

    Args:
        kind: one of ``MOMENTS``.
        draw: random numbers.
        folder: of the file that tells of an evaluation.
    """

    def __init__(self, kind: str, draw: random.Random, folder: Path) -> None:
        self.kind, self._folder = kind, folder
        self._count = draw.randrange(1, ROWS // 2)  # rows before; or evaluations and saves
        self._later = draw.random()
        self._looks: dict[str, Callable[[Session], bool]] = {
            "starting": lambda running: len(ranks_of(running.pid)) == RANKS,
            "collecting": lambda running: self._rows(running) >= self._count,
            "evaluating": lambda running: (self._folder / JUDGED).exists(),
            "saving": lambda running: self._saves(running) and self._rows(running) >= self._count,
        }
        self._most = {"starting": 4.0, "collecting": 0.15, "evaluating": 0.1, "saving": 0.0}[kind]

    def wait(self, running: Session) -> bool:
        """Until it comes; False if the run has ended before."""
        deadline = time.monotonic() + PATIENCE
        while not self._looks[self.kind](running):
            if running.ended:
                return False
            assert time.monotonic() < deadline, f"no moment of {self.kind}"
            time.sleep(LOOK)
        time.sleep(self._later * self._most)
        return not running.ended

    @staticmethod
    def _rows(running: Session) -> int:
        with contextlib.suppress(OSError):
            return sum(len(read_rows(path)) for path in running.runs.glob(f"*/*/{METRICS}"))
        return 0

    @staticmethod
    def _saves(running: Session) -> bool:
        return any(running.runs.glob("*/*/checkpoints/.*.tmp"))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_rank_that_is_killed_at_any_moment_changes_nothing(tmp_path: Path) -> None:
    draw = random.Random(SEED)
    print(f"\nSOAK_SEED={SEED}")
    whole = train(tmp_path / "whole")
    expected = outcome(folder_of(whole))
    kinds = [MOMENTS[number % len(MOMENTS)] for number in range(KILLS)]
    draw.shuffle(kinds)
    killed: list[dict[str, Any]] = []
    for number, kind in enumerate(kinds):
        home = tmp_path / str(number)
        rank = draw.randrange(RANKS)
        moment = Moment(kind, draw, home)
        found = killed_once(home, rank, moment)
        killed.append({"moment": kind, "rank": rank, **found, "same": outcome(folder_of(home)) == expected})
    report(killed)
    assert all(one["same"] for one in killed)
    assert all(one["restarts"] == 1 for one in killed)


def train(home: Path) -> Path:
    """Train undisturbed."""
    with session(home, home / "runs", *settings(home)) as running:
        assert running.process.wait(PATIENCE) == 0, running.err.read_text()
        assert not running.left()
    return home


def killed_once(home: Path, rank: int, moment: Moment) -> dict[str, Any]:
    """Train, kill a rank at the moment, and wait for the end; what it took."""
    with session(home, home / "runs", *settings(home)) as running:
        assert moment.wait(running), f"the run ended before it was {moment.kind}"
        own = ranks_of(running.pid)
        assert len(own) == RANKS, own
        steps, at = moment._rows(running) * 400, running.age
        os.kill(own[rank], signal.SIGKILL)
        killed = time.monotonic()
        code = running.process.wait(PATIENCE)
        words = running.err.read_text() + running.out.read_text()
        assert code == 0, words[-3000:]
        left = running.left()
        assert not left, left
    return {
        "seconds": round(at, 2),
        "env steps": steps,
        "restarts": words.count("all start again from the last checkpoint"),
        "seconds to the end": round(time.monotonic() - killed, 1),
    }


def folder_of(home: Path) -> Path:
    """The one run in a home."""
    (folder,) = (path.parent for path in (home / "runs").glob(f"*/*/{METRICS}"))
    return folder.resolve()


def report(killed: list[dict[str, Any]]) -> None:
    """Write the record and print the table."""
    figures = {
        "seed": SEED,
        "kills": len(killed),
        "same end": sum(one["same"] for one in killed),
        "moments": dict(Counter(one["moment"] for one in killed)),
        "seconds to the end": spread([one["seconds to the end"] for one in killed]),
        "each": killed,
    }
    store("kill ranks", figures)
    columns = list(killed[0])
    print("\n" + table([tuple(columns), *(tuple(one[key] for key in columns) for one in killed)]))
