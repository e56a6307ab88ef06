"""Environments whose every number is known beforehand. Importable in worker processes, picklable by class.

Registered here, so that ``env.id=<this module>:Counting-v0`` works as for a user's own environment.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

Obs = NDArray[np.float32]
ENDS = ("terminated", "truncated", "both")


class CountingEnv(gym.Env[Obs, np.int64]):
    """Observes its own step number: 0 after a reset, k after k steps; ends after ``length`` steps.

    Args:
        length: steps of an episode.
        end: ``terminated``, ``truncated`` or ``both``.
        reward: of every step.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"]}

    def __init__(
        self, length: int = 5, end: str = "terminated", reward: float = 1.0, render_mode: str | None = None
    ) -> None:
        assert end in ENDS
        self.observation_space = Box(0, np.inf, (1,), np.float32)
        self.action_space = Discrete(2)
        self.length, self.end, self.reward, self.render_mode = length, end, reward, render_mode
        self.count = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return self._obs(), {}

    def step(self, action: np.int64) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        self.count += 1
        over = self.count >= self.length
        return self._obs(), self.reward, over and self.end != "truncated", over and self.end != "terminated", {}

    def render(self) -> Any:
        return np.full((32, 32, 3), 10 * self.count % 256, np.uint8)

    def _obs(self) -> Obs:
        return np.array([self.count], np.float32)


class CountingVectorEnv(VectorEnv[Obs, NDArray[np.int64], NDArray[Any]]):
    """N counting environments in numpy, environment i of ``lengths[i]`` steps, in any autoreset mode.

    Writes its observations into one buffer, as fast vector environments do.
    """

    def __init__(self, lengths: Sequence[int], end: str = "terminated", mode: str = "SameStep") -> None:
        self.num_envs = len(lengths)
        self.mode = AutoresetMode(mode)
        self.metadata = {"autoreset_mode": self.mode}
        self.single_observation_space = Box(0, np.inf, (1,), np.float32)
        self.single_action_space = Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.lengths, self.end = np.array(lengths), end
        self.count = np.zeros((self.num_envs, 1), np.float32)
        self.done = np.zeros(self.num_envs, np.bool_)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_))
        self.count[mask] = 0
        self.done[mask] = False
        return self.count, {}

    def step(self, actions: NDArray[np.int64]) -> Any:
        resetting = self.done if self.mode is AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, np.bool_)
        assert self.mode is not AutoresetMode.DISABLED or not self.done.any(), "stepped an ended episode"
        self.count = np.where(resetting[:, None], 0, self.count + 1).astype(np.float32)
        self.done = self.count[:, 0] >= self.lengths
        terminated = self.done & (self.end != "truncated")
        truncated = self.done & (self.end != "terminated")
        rewards = np.where(resetting, 0.0, 1.0)
        infos = {}
        if self.mode is AutoresetMode.SAME_STEP and self.done.any():
            infos = {"final_obs": self.count.copy(), "_final_obs": self.done.copy()}
            self.count[self.done] = 0
        return self.count, rewards, terminated, truncated, infos


class IdentityEnv(gym.Env[Obs, np.int64]):
    """Shows one of ``n`` symbols, one-hot; reward 1 for choosing it. Truncated after ``length`` steps."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, n: int = 3, length: int = 20, start: int = 0, render_mode: str | None = None) -> None:
        self.observation_space = Box(0, 1, (n,), np.float32)
        self.action_space = Discrete(n, start=start)
        self.n, self.length, self.start, self.render_mode = n, length, start, render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return self._next(), {}

    def step(self, action: np.int64) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        reward = float(action - self.start == self.symbol)
        self.count += 1
        return self._next(), reward, False, self.count >= self.length, {}

    def _next(self) -> Obs:
        self.symbol = int(self.np_random.integers(self.n))
        return np.eye(self.n, dtype=np.float32)[self.symbol]


class InfiniteHorizonEnv(gym.Env[Obs, np.int64]):
    """Reward 1 for ever, one constant observation, a clock that truncates every ``length`` steps.

    Its value is 1 / (1 - gamma), and only a learner that bootstraps at truncation finds it.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, length: int = 10, render_mode: str | None = None) -> None:
        self.observation_space = Box(0, 1, (1,), np.float32)
        self.action_space = Discrete(2)
        self.length, self.render_mode = length, render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return np.ones(1, np.float32), {}

    def step(self, action: np.int64) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        self.count += 1
        return np.ones(1, np.float32), 1.0, False, self.count >= self.length, {}


class TargetEnv(gym.Env[Obs, NDArray[np.float32]]):
    """A continuous target: reward is minus the squared distance of the action to ``target``, best 0.

    The observation is the last action it received, which shows what came through the door.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(
        self,
        target: Sequence[float] = (0.5, -0.5),
        low: float = -1.0,
        high: float = 1.0,
        length: int = 10,
        render_mode: str | None = None,
    ) -> None:
        self.target = np.asarray(target, np.float32)
        self.observation_space = Box(-np.inf, np.inf, self.target.shape, np.float32)
        self.action_space = Box(low, high, self.target.shape, np.float32)
        self.length, self.render_mode = length, render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return np.zeros_like(self.target), {}

    def step(self, action: NDArray[np.float32]) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        self.count += 1
        reward = -float(np.square(action - self.target).sum())
        return np.array(action, np.float32), reward, False, self.count >= self.length, {}


class ScriptedEnv(gym.Env[Obs, np.int64]):
    """Follows a script, over and over: what happens at each of its steps, through all its episodes.

    Observes (its index, its episode, its step in the episode) in one buffer that it overwrites; the reward is the
    script's plus a tenth of the action, so that an action given to the wrong step shows.

    Args:
        index: of the environment.
        script: of each step ``go``, ``terminated``, ``truncated``, ``both`` or ``life`` (a life is lost, the game
            goes on).
        rewards: of each step.
        lives: how a lost life is told: ``event`` (info only then) or ``count`` (info always holds the lives left).
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, index: int, script: Sequence[str], rewards: Sequence[float], lives: str = "event") -> None:
        self.observation_space = Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space = Discrete(5)
        self.index, self.script, self.rewards, self.tells = index, tuple(script), tuple(rewards), lives
        self.buffer = np.zeros(3, np.float32)
        self.position, self.episode = 0, -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode += 1
        self.count = 0
        self.lives = 3 + self.episode % 4  # a new game may start with fewer lives than the last one ended with
        return self._obs(), self._info(False)

    def step(self, action: np.int64) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        event = self.script[self.position % len(self.script)]
        reward = self.rewards[self.position % len(self.rewards)] + float(action) / 10
        self.position += 1
        self.count += 1
        self.lives -= event == "life"
        ends = {"terminated": (True, False), "truncated": (False, True), "both": (True, True)}
        return self._obs(), reward, *ends.get(event, (False, False)), self._info(event == "life")

    def _obs(self) -> Obs:
        self.buffer[:] = self.index, self.episode, self.count
        return self.buffer

    def _info(self, lost: bool) -> dict[str, Any]:
        if self.tells == "count":
            return {"lives": self.lives}
        return {"life_lost": True} if lost else {}


class FaultyEnv(gym.Env[Obs, np.int64]):
    """Does one thing wrong at step ``at``: raise, hang, or return a bad reward or observation."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, fault: str = "none", at: int = 3, render_mode: str | None = None) -> None:
        self.observation_space = Box(-1, 1, (2,), np.float32)
        self.action_space = Discrete(2)
        self.fault, self.at, self.render_mode = fault, at, render_mode
        if fault == "constructor":
            raise RuntimeError("no licence for this simulator")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        super().reset(seed=seed)
        if self.fault == "reset":
            raise RuntimeError("the map is missing")
        self.count = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: np.int64) -> tuple[Obs, Any, bool, bool, dict[str, Any]]:
        self.count += 1
        obs: Any = np.zeros(2, np.float32)
        reward: Any = 1.0
        if self.count == self.at:
            if self.fault == "raise":
                raise ValueError("joint 4 exploded")
            if self.fault == "hang":
                time.sleep(60)
            reward = {"nan reward": float("nan"), "inf reward": float("inf"), "no reward": None}.get(self.fault, reward)
            if self.fault in ("nan observation", "nan final"):
                obs[1] = np.nan
        return obs, reward, False, self.count == self.at and self.fault == "nan final", {}


class SpacesEnv(gym.Env[Any, Any]):
    """Any spaces: observations and rewards are samples."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, observation_space: Any, action_space: Any = None, render_mode: str | None = None) -> None:
        self.observation_space = observation_space
        self.action_space = Discrete(2) if action_space is None else action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


class Unregistered(CountingEnv):
    """A class that someone names where an id belongs."""


gym.register("Counting-v0", CountingEnv)
gym.register("Identity-v0", IdentityEnv)
gym.register("InfiniteHorizon-v0", InfiniteHorizonEnv)
gym.register("Target-v0", TargetEnv)
gym.register("Faulty-v0", FaultyEnv)
gym.register("Spaces-v0", SpacesEnv)
gym.register("Scripted-v0", ScriptedEnv)
