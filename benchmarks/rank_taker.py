"""Trains in turns, alone or as a rank: as turn_taker.py, which says how. Started by rank_speed.py, perhaps by torchrun.

The first rank takes the turns; the others go in step with it, since none can go on without its sums.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
import our_speed
from turn_taker import STEPS, Turns

import a2c
from a2c.errors import RankFailure
from a2c.learning.averaging import averaging_of
from a2c.machine.rank_group import Ranks
from a2c.machine.rank_meeting import met
from a2c.machine.rank_place import place_here
from a2c.run.rank_settings import of_place, of_rank

FOREVER = 1e9  # seconds


def train(path: str, overrides: list[str], ranks: Ranks | None) -> None:
    """Train until the turns end.

    Args:
        path: of the board.
        overrides: settings, of all ranks together.
        ranks: all of them; None: alone.
    """
    cfg = a2c.load_config(*overrides)
    if ranks is not None:
        place = place_here()
        assert place is not None
        cfg = of_place(cfg, place)
        our_speed.make_envs = partial(our_speed.make_envs, first=ranks.rows(cfg.num_envs).start, resumable=False)
        our_speed.build = partial(our_speed.build, averaging=averaging_of(cfg, ranks))
        cfg = of_rank(cfg, ranks)
    if ranks is None or ranks.leads:
        our_speed.build = in_turns(our_speed.build, Turns(np.memmap(path, np.float64, "r+", shape=(4,))))
    our_speed.measure_learning(cfg, FOREVER)


def in_turns(build: Any, turns: Turns) -> Any:
    """A way to build a learner and a collector that waits for its turn before each rollout, and counts steps."""

    def built(*args: Any, **kwargs: Any) -> Any:
        learner, collector = build(*args, **kwargs)
        collect, update = collector.collect, learner.update

        def collect_in_turn(number: int) -> Any:
            turns.before_rollout()
            return collect(number)

        def counted_update(rollout: Any, env_steps: int) -> None:
            update(rollout, env_steps)
            turns.board[STEPS] += learner.counted(rollout)

        collector.collect, learner.update = collect_in_turn, counted_update
        return learner, collector

    return built


def main() -> None:
    path, *overrides = sys.argv[1:]
    place = place_here()
    if place is None:
        train(path, overrides, None)
        return
    try:
        with met(place, 600.0) as ranks, ranks.telling():
            train(path, overrides, ranks)
    except RankFailure:
        if place.rank == 0:
            raise  # the others end when the first one has had its turns


if __name__ == "__main__":
    main()
