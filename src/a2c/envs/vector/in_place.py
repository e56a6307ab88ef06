"""How our vector environments hand over a step without copies: arrays that every step overwrites.

Gymnasium's ``step`` returns copies and builds infos; a trainer that reads five arrays and drops them before the next
step needs neither.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from a2c.envs.vector.shard import ShardMemory


@dataclass(frozen=True, slots=True)
class Block:
    """What a step writes: row i belongs to environment i."""

    observations: NDArray[Any]  # [N, *obs]
    final_observations: NDArray[Any]  # [N, *obs]  SAME_STEP: of the episode that ended most recently
    rewards: NDArray[np.float64]  # [N]
    flags: NDArray[np.bool_]  # [2, N]  terminated, truncated

    @classmethod
    def of(cls, memory: ShardMemory) -> Block | None:
        """The arrays in ``memory``; None where it holds no array of observations."""
        if not memory.observations:
            return None
        arrays = memory.arrays
        return cls(arrays["observations"], arrays["final_observations"], arrays["rewards"], arrays["flags"])


class StepsInPlace:
    """A vector environment that can step without copies.

    Attributes:
        block: the arrays that a step overwrites; None where observations are not one array.
    """

    block: Block | None

    def begin_in_place(self, actions: Any) -> None:
        """Begin a step of every environment into ``block``."""
        raise NotImplementedError

    def finish_in_place(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait until the step is done.

        Args:
            timeout: seconds; None waits for ever. It has no effect on environments in this process.

        Returns:
            The infos; those with which episodes ended under :data:`a2c.envs.final_infos.ENDED`.
        """
        raise NotImplementedError

    def keep_infos(self, keys: Sequence[str] | None, final_keys: Collection[str] | None = ()) -> None:
        """From now on report only some of the environments' infos.

        Args:
            keys: of all infos; None: they are reported whole, those of ended episodes too.
            final_keys: of those with which episodes end, where they are plain data; None: all of these.
        """
        raise NotImplementedError
