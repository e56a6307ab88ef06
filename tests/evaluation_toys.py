"""An environment that behaves in training and fails, hangs or waits in evaluation: ``env.id=evaluation_toys:Sides-v0``.

No clock decides when an evaluation ends that waits: a file does, which training makes when it has gone far enough.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

LENGTH = 10  # steps of an episode
WHEN = 3  # the step of a fault
REACHED, GO = "reached", "go"  # files: an evaluation waits; it may go on
CLOSED = "closed"  # and: an environment has been closed


class Sides(gym.Env[Any, Any]):
    """Shows two numbers; reward 1 for saying whether the first is positive.

    Args:
        seeds: episodes with these seeds have the fault; all others are well.
        fault: raise, exit, kill (its process), hang, wait (for the file ``GO``, having made the file ``REACHED``), or
            late: wait, then raise.
        folder: of the files.
        opens: so many steps of one environment's other episodes make the file ``GO``; 0: never.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(
        self,
        seeds: Sequence[int] = (),
        fault: str = "",
        folder: str = "",
        opens: int = 0,
        render_mode: str | None = None,
    ) -> None:
        self.observation_space, self.action_space = Box(-10, 10, (2,), np.float32), Discrete(2)
        self.seeds, self.fault, self.folder, self.opens = set(seeds), fault, Path(folder), opens
        self.render_mode = render_mode
        self.steps_in_all = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count, self.faulty = 0, seed in self.seeds
        return self._next(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action == (self.obs[0] > 0))
        self.count += 1
        if self.faulty and self.count == WHEN:
            self._fail()
        if not self.faulty:
            self.steps_in_all += 1
            if self.opens and self.steps_in_all == self.opens:
                (self.folder / GO).touch()
        return self._next(), reward, False, self.count == LENGTH, {}

    def _next(self) -> Any:
        self.obs = self.np_random.standard_normal(2).clip(-10, 10).astype(np.float32)
        return self.obs

    def _fail(self) -> None:
        if self.fault in ("wait", "late"):
            (self.folder / REACHED).touch()
            wait_for(self.folder / GO)
        if self.fault in ("raise", "late"):
            raise ZeroDivisionError("broken where it is judged")
        if self.fault == "exit":
            sys.exit(0)
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "hang":
            time.sleep(3600)

    def close(self) -> None:
        if self.fault == "wait":
            (self.folder / CLOSED).touch()


def wait_for(file: Path) -> None:
    """Return when the file is there."""
    while not file.exists():
        time.sleep(0.005)


gym.register("Sides-v0", Sides)
