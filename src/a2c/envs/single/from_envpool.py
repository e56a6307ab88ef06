"""Environments of EnvPool, in C++: ``env.id=EnvPool/Pong-v5`` is its ``Pong-v5``.

Its vector environment steps in threads of this process and resets in a step of its own. Evaluations, GIFs and ``watch``
play a single one, which is the same with ``num_envs=1``. Source: Weng et al. 2022 (EnvPool).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from a2c.envs.vector.reset_arguments import seeds_for
from a2c.errors import ConfigError

PREFIX = "EnvPool/"


def register(env_id: str) -> None:
    """Register ``EnvPool/<id>``, if EnvPool has such an id.

    Raises:
        ConfigError: EnvPool is not installed.
    """
    try:
        import envpool
    except ImportError as error:
        raise ConfigError(f"env.id={env_id} needs EnvPool: pip install envpool (the extra a2c[envpool])") from error
    task = env_id.removeprefix(PREFIX)
    if task in envpool.list_all_envs():
        config = envpool.make_spec(task).config
        gym.registry[env_id] = EnvSpec(
            env_id,
            f"{__name__}:Single",
            reward_threshold=getattr(config, "reward_threshold", None),
            max_episode_steps=getattr(config, "max_episode_steps", None),
            kwargs={"task": task},
            vector_entry_point=f"{__name__}:Pool",
        )


def known_ids() -> list[str]:
    """Every id that can be registered; none where EnvPool is not installed."""
    try:
        import envpool
    except ImportError:
        return []
    return [f"{PREFIX}{task}" for task in envpool.list_all_envs()]


def is_envpool(spec: EnvSpec) -> bool:
    """Whether it is one of these."""
    return spec.id.startswith(PREFIX)


class Pool(VectorEnv[Any, Any, Any]):
    """``num_envs`` environments of EnvPool, each from its own seed: environment i is the :class:`Single` of that seed.

    EnvPool takes seeds when it is made, so that a reset with seeds makes it anew. Its infos, which always hold
    something, are left out.

    Args:
        num_envs: N.
        task: EnvPool's id.
        arguments: for ``envpool.make``.
    """

    seeds_each_env = True
    metadata = {"render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int, task: str, **arguments: Any) -> None:
        self.num_envs = num_envs
        self._arguments = {**arguments, "task_id": task, "env_type": "gymnasium", "num_envs": num_envs}
        with _without_warnings():
            self._pool = self._made(list(range(num_envs)))
            self.single_observation_space = self._pool.single_observation_space
            self.single_action_space = self._pool.single_action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As in Gymnasium; seeds are an integer, or one for each environment."""
        if seed is not None:
            self._pool.close()
            self._pool = self._made([int(one) for one in seeds_for(seed, self.num_envs) if one is not None])
        with _without_warnings():
            return self._pool.reset()[0], {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """As in Gymnasium."""
        return (*self._pool.step(np.asarray(actions))[:4], {})

    def render(self) -> Any:
        """``[N, H, W, 3]`` uint8."""
        return self._pool.render()

    def close_extras(self, **_: Any) -> None:
        """End EnvPool's threads."""
        self._pool.close()

    def _made(self, seeds: list[int]) -> Any:
        import envpool

        with _without_warnings():
            return envpool.make(seed=seeds, **self._arguments)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Without those that Gymnasium has about EnvPool's own spaces."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*precision lowered by casting")
        yield


class Single(gym.Env[Any, Any]):
    """One environment of EnvPool.

    Args:
        task: EnvPool's id.
        render_mode: Gymnasium's.
        arguments: for ``envpool.make``.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, task: str, render_mode: str | None = None, **arguments: Any) -> None:
        shown = {} if render_mode is None else {"render_mode": render_mode}
        self._pool = Pool(1, task, num_threads=1, **shown, **arguments)
        self.render_mode = render_mode
        self.observation_space = self._pool.single_observation_space
        self.action_space = self._pool.single_action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        obs, info = self._pool.reset(seed=seed)
        return obs[0], info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, rewards, terminated, truncated, info = self._pool.step(np.asarray(action)[None])
        return obs[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> Any:
        return self._pool.render()[0]

    def close(self) -> None:
        self._pool.close()
