"""Trains in turns: only while it is its turn, and tells how far it got. Run by ``turns.py`` with another's PYTHONPATH.

    python benchmarks/turn_taker.py FILE KEY=VALUE ...

FILE holds four float64: go (1: train, 0: pause, -1: end), 1 + turns done once it is ready, steps and seconds of all.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

sys.path.pop(0)  # our_speed is the checkout's that is measured, not this one's
import our_speed

import a2c

GO, TURNS, STEPS, SECONDS = range(4)


class Turns:
    """Stands between the loop and its collector: pauses where a rollout begins."""

    def __init__(self, board: Any) -> None:
        self.board = board
        self.since = 0.0  # the beginning of this turn; 0: it is not ours
        self.ready = False

    def before_rollout(self) -> None:
        if self.board[GO] == 1 and self.since:
            return
        if self.since:
            our_speed.synchronize()
            self.board[SECONDS] += time.perf_counter() - self.since
            self.since = 0.0
            self.board[TURNS] += 1
        if not self.ready:
            self.ready, self.board[TURNS] = True, 1
        while self.board[GO] == 0:
            time.sleep(0.001)
        if self.board[GO] < 0:
            raise SystemExit
        self.since = time.perf_counter()


def main() -> None:
    path, *overrides = sys.argv[1:]
    turns = Turns(np.memmap(path, np.float64, "r+", shape=(4,)))
    build = our_speed.build

    def built(*args: Any, **kwargs: Any) -> Any:
        learner, collector = build(*args, **kwargs)
        collect = collector.collect

        def collect_in_turn(update: int) -> Any:
            turns.before_rollout()
            rollout = collect(update)
            turns.board[STEPS] += rollout.transitions
            return rollout

        collector.collect = collect_in_turn
        return learner, collector

    our_speed.build = built
    our_speed.measure_learning(a2c.load_config(*overrides), 1e9)


if __name__ == "__main__":
    main()
