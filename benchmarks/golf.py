"""Golf-v0: which club, how hard and where to; an action of two kinds.

The pin is 60 to 240 metres away, the wind blows across. A stroke names a club and swings it: the wood carries 40 to 120
metres, the iron 8 to 40, the putter 1 to 8, from the weakest to the strongest swing, each notch by the same factor;
every stroke scatters in proportion to its length. What flies (wood, iron) drifts with the wind, so it has to be aimed
against it. Reward -1 a stroke; the hole is done within a metre of the pin, or given up after 15 strokes.

The observation is the logarithm of the distance, and the wind. The action names the club, 0 wood, 1 iron, 2 putter, and
says of each how it would be swung: strength and aim in [-1, 1], the aim up to 0.3 radians to either side of the pin; of
the putter the strength alone. Only the named club's counts: a parametrised action (Masson et al. 2016, "Reinforcement
Learning with Parameterized Actions"). :func:`caddie` plays by rule: about -2.4; random strokes get about -14.4.

    PYTHONPATH=benchmarks a2c train env.id=golf:Golf-v0
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from numpy.typing import NDArray

CLUBS = ("wood", "iron", "putter")
SHORTEST = (40.0, 8.0, 1.0)  # metres that each carries, weakest swing
LONGEST = (120.0, 40.0, 8.0)  # and strongest
SCATTER = 0.03  # of a stroke's length, in either direction
DRIFT = 0.15  # of a flight's length, in the strongest wind
WIDEST = 0.3  # radians
HOLE = 1.0  # metres
PUTTER = 2

Observation = NDArray[np.float32]


class Golf(gym.Env[Observation, dict[str, Any]]):
    """The game above."""

    observation_space = Box(np.array([-1, -1], np.float32), np.array([6, 1], np.float32))
    action_space = Dict(
        {
            "club": Discrete(3),
            "wood": Box(-1, 1, (2,), np.float32),
            "iron": Box(-1, 1, (2,), np.float32),
            "putter": Box(-1, 1, (1,), np.float32),
        }
    )

    def __init__(self, render_mode: None = None) -> None:
        self.render_mode = render_mode
        self.distance, self.wind = 0.0, 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        self.distance, self.wind = self.np_random.uniform(60, 240), self.np_random.uniform(-1, 1)
        return self._observe(), {}

    def step(self, action: dict[str, Any]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        club = int(action["club"])
        strength = float(action[CLUBS[club]][0])
        length = SHORTEST[club] * (LONGEST[club] / SHORTEST[club]) ** ((strength + 1) / 2)
        along, across = SCATTER * length * self.np_random.standard_normal(2)
        angle = 0.0
        if club != PUTTER:
            angle = WIDEST * float(action[CLUBS[club]][1])
            across += DRIFT * self.wind * length
        along += length * math.cos(angle)
        across += length * math.sin(angle)
        self.distance = min(math.hypot(self.distance - along, across), 400.0)  # beyond lies the sea
        return self._observe(), -1.0, self.distance < HOLE, False, {}

    def _observe(self) -> Observation:
        return np.array([math.log(max(self.distance, HOLE)), self.wind], np.float32)


def caddie(observation: Observation) -> dict[str, Any]:
    """A stroke by rule: the shortest club that reaches, swung to the pin's distance, aimed against the wind."""
    distance, wind = math.exp(float(observation[0])), float(observation[1])
    against = -math.asin(DRIFT * wind) / WIDEST

    def strength(club: int) -> float:
        notch = math.log(distance / SHORTEST[club]) / math.log(LONGEST[club] / SHORTEST[club])
        return min(max(2 * notch - 1, -1.0), 1.0)

    return {
        "club": next(club for club in (2, 1, 0) if distance <= LONGEST[club] or club == 0),
        "wood": np.array([strength(0), against], np.float32),
        "iron": np.array([strength(1), against], np.float32),
        "putter": np.array([strength(2)], np.float32),
    }


gym.register("Golf-v0", entry_point=Golf, max_episode_steps=15)
