"""Observations that are stacks of frames, where environments give the newest frame alone.

Two stacks that follow each other share all frames but one: only one byte in ``count`` is new. Whoever collects
has the stack before, and builds the next one from it (:mod:`a2c.collecting.frame_stacks`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Space


@dataclass(frozen=True, slots=True)
class Frames:
    """An observation is the latest frames, ``[count, *frame]``, the newest last; the environments give that one."""

    count: int
    repeated: bool  # what stands before the first frame of an episode: the same frame again, or zeros

    def stacked(self, space: Space[Any]) -> Space[Any]:
        """The space of the stacks, from the space ``[1, *frame]`` of what the environments give."""
        assert isinstance(space, Box)
        low, high = (np.repeat(bound, self.count, axis=0) for bound in (space.low, space.high))
        return Box(low, high, dtype=space.dtype.type)
