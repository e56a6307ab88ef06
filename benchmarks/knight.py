"""Knight-v0: the knight's tour on a board of 5 x 5, in which most actions are illegal all the time.

A knight stands on a random square of the colour of the corners, from which a tour of all 25 squares exists. An action
names the square to jump to: one of 25, of which at most eight are a knight's move away, and fewer have not been visited
yet; ``info["action_mask"]`` says which. Reward 1 for every jump; where no square is left to jump to, or after an
illegal action, the tour is over. The best return is 24; a player that jumps at random, legally, gets about 13.6.

    PYTHONPATH=benchmarks a2c train env.id=knight:Knight-v0
    PYTHONPATH=benchmarks a2c train env.id=knight:Knight-v0 env.masks=off
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Discrete, MultiBinary
from numpy.typing import NDArray

SIDE = 5
SQUARES = SIDE * SIDE

Bits = NDArray[np.int8]


def jumps() -> NDArray[np.bool_]:
    """``[25, 25]``, whether a knight jumps from one square to another: by one row and two columns, or the reverse."""
    row, column = np.divmod(np.arange(SQUARES), SIDE)
    return np.abs(row[:, None] - row) * np.abs(column[:, None] - column) == 2


class Knight(gym.Env[Bits, np.int64]):
    """The game above. The observation is where the knight stands, one-hot, and which squares it has visited."""

    observation_space = MultiBinary([2, SQUARES])
    action_space = Discrete(SQUARES)

    def __init__(self, render_mode: None = None) -> None:
        self.render_mode = render_mode
        self.jumps, self.square, self.visited = jumps(), 0, np.zeros(SQUARES, bool)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Bits, dict[str, Any]]:
        super().reset(seed=seed)
        self.visited[:] = False
        self._stand(2 * int(self.np_random.integers(SQUARES // 2 + 1)))
        return self._observe(), self._info(self._legal())

    def step(self, action: np.int64) -> tuple[Bits, float, bool, bool, dict[str, Any]]:
        if not self._legal()[action]:
            return self._observe(), 0.0, True, False, self._info(self._legal())
        self._stand(int(action))
        legal = self._legal()
        return self._observe(), 1.0, not legal.any(), False, self._info(legal)

    def _stand(self, square: int) -> None:
        self.square = square
        self.visited[square] = True

    def _legal(self) -> NDArray[np.bool_]:
        return self.jumps[self.square] & ~self.visited

    def _observe(self) -> Bits:
        return np.stack([np.arange(SQUARES) == self.square, self.visited]).astype(np.int8)

    def _info(self, legal: NDArray[np.bool_]) -> dict[str, Any]:
        """A mask allows something, also where the tour is over and nobody acts."""
        return {"action_mask": (legal if legal.any() else ~legal).astype(np.int8)}


gym.register("Knight-v0", entry_point=Knight)
