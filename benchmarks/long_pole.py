"""LongPole-v1: CartPole with a pole twice as long and as heavy for each metre, a task that no preset was made for.

PYTHONPATH=benchmarks a2c train env.id=long_pole:LongPole-v1 stop_at=threshold
"""

from __future__ import annotations

import gymnasium as gym
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

TIMES = 2.0


class LongPole(CartPoleEnv):  # type: ignore[misc]  # Gymnasium's classes are not typed there
    """CartPole whose pole is ``times`` as long, and heavier accordingly.

    Args:
        times: the length of the pole, in those of CartPole's.
        render_mode: as CartPole's.
    """

    def __init__(self, times: float = TIMES, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self.length *= times  # half of the pole's length, in Gymnasium's equations
        self.masspole *= times
        self.total_mass = self.masspole + self.masscart
        self.polemass_length = self.masspole * self.length


gym.register("LongPole-v1", entry_point=LongPole, max_episode_steps=500, reward_threshold=475.0)
