"""Derive every environment's seed from the run's seed, one for each purpose.

``seed + i`` overlaps across seeds: run 1's environment 0 would replay run 0's environment 1. A spawn
key does not: every (seed, role, index) has its own stream, and an environment's stream depends
neither on how many environments there are nor on which process steps it.
"""

from __future__ import annotations

import numpy as np

TRAIN = 0
EVAL = 1
TRIAL = 4  # of how episodes can be rebuilt
FINAL_EVAL = 3  # 2 was a role once; the others keep their numbers, and so their seeds


def env_seed(seed: int, role: int, index: int, generation: int = 0) -> int:
    """Seed of environment ``index`` of the global N, in a role (``TRAIN``, ``EVAL``, ``FINAL_EVAL``).

    ``generation`` tells restarts apart: a resumed run must not replay the episodes that it began with.

    Returns:
        An integer in [0, 2**31): the emulator of ale-py takes a signed 32-bit seed.
    """
    key = (role, index, generation) if generation else (role, index)
    state = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, dtype=np.uint32)
    return int(state[0] >> 1)


def env_seeds(seed: int, role: int, num_envs: int, generation: int = 0, first: int = 0) -> list[int]:
    """The seeds of environments ``first .. first + num_envs - 1`` in a role."""
    return [env_seed(seed, role, index, generation) for index in range(first, first + num_envs)]
