"""Into how many leaves ``deterministic_ranks`` cuts the environments."""

from __future__ import annotations

MOST = 8  # as many ranks can share them out


def leaves_of(num_envs: int) -> int:
    """How many leaves so many environments have: a power of two, so that as many ranks can share them out evenly."""
    return min(MOST, 1 << (num_envs.bit_length() - 1))
