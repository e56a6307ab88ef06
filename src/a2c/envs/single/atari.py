"""Atari games: the standard preprocessing, through our vector environments and through ale-py's own.

Both give uint8 ``[frame_stack, screen_size, screen_size]`` and raw rewards: grey frames, the maximum of
the last two emulator frames of each skip, area-averaged to a square, random no-ops and FIRE after a
reset. Source: Machado et al. 2018; the wrappers are Gymnasium's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box
from gymnasium.wrappers import AtariPreprocessing, TimeLimit

from a2c.errors import ConfigError
from a2c.machine.cores import usable_cores
from a2c.settings.config import EnvConfig

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

_OURS = {
    "frameskip": "env.atari.frame_skip",
    "repeat_action_probability": "env.atari.repeat_action_probability",
    "max_num_frames_per_episode": "env.max_episode_steps",
    "obs_type": "observations are always grey frames",
}


def is_atari(spec: EnvSpec) -> bool:
    """Whether it is a game of ale-py, which gets the standard preprocessing."""
    return str(spec.entry_point).startswith("ale_py")


def make(spec: EnvSpec, env: EnvConfig, *, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """Make one preprocessed game. A lost life shows as ``info == {"life_lost": True}``; otherwise info is empty.

    Raises:
        ConfigError: ``env.kwargs`` sets what ``env.atari`` sets.
    """
    _check_kwargs(env)
    game = gym.make(
        spec,
        max_episode_steps=-1,  # no limit here: ours counts agent steps, so it goes around the frame skip
        disable_env_checker=True,
        frameskip=1,
        repeat_action_probability=env.atari.repeat_action_probability,
        obs_type="ram",  # cheap, and nobody reads it: the preprocessing takes 2 of 4 frames from the emulator itself
        render_mode=render_mode,
        **env.kwargs,
    )
    game = AtariPreprocessing(
        ScreenSpace(game),
        noop_max=env.atari.noop_max,
        frame_skip=env.atari.frame_skip,
        screen_size=env.atari.screen_size,
    )
    if env.atari.fire_reset and waits_for_fire(game):
        game = FireReset(game)
    game = LifeLostInfo(FrameStack(game, env.atari.frame_stack))
    return game if env.max_episode_steps is None else TimeLimit(game, env.max_episode_steps)


def make_native(spec: EnvSpec, env: EnvConfig, num_envs: int, num_workers: int | None) -> VectorEnv[Any, Any, Any]:
    """Make ``num_envs`` such games that step in C++ threads of this process: ale-py's vector environment.

    It resets in the same step, with exact final observations.

    Args:
        spec: the game's registration.
        env: which environment.
        num_envs: N.
        num_workers: threads; None: one for each core.

    Raises:
        ConfigError: as :func:`make`.
    """
    _check_kwargs(env)
    from gymnasium.vector import AutoresetMode

    from a2c.envs.vector.atari_native import NativeAtari

    # Its limit counts emulator frames after the no-ops: this is max_episode_steps agent steps exactly.
    limit = (
        {}
        if env.max_episode_steps is None
        else {"max_num_frames_per_episode": env.max_episode_steps * env.atari.frame_skip}
    )
    return NativeAtari(
        spec.kwargs["game"],
        num_envs,
        num_threads=min(num_envs, num_workers or usable_cores()),
        repeat_action_probability=env.atari.repeat_action_probability,
        autoreset_mode=AutoresetMode.SAME_STEP,
        img_height=env.atari.screen_size,
        img_width=env.atari.screen_size,
        stack_num=env.atari.frame_stack,
        frameskip=env.atari.frame_skip,
        noop_max=env.atari.noop_max,
        use_fire_reset=env.atari.fire_reset,
        reward_clipping=False,
        **{**limit, **env.kwargs},
    )


def state_door_of_game(base: Any) -> tuple[Callable[[], bytes], Callable[[bytes], None]] | None:
    """How to get and set all of an emulator's state, its random numbers included; None for any other environment.

    Args:
        base: an environment without wrappers.
    """
    if not hasattr(base, "ale") or not type(base).__module__.startswith("ale_py"):
        return None
    from ale_py import ALEState

    def get() -> bytes:
        return bytes(base.ale.cloneState(include_rng=True).__getstate__())

    def put(state: bytes) -> None:
        base.ale.restoreState(ALEState(state))

    return get, put


def waits_for_fire(game: gym.Env[Any, Any]) -> bool:
    """Whether the game may wait for FIRE after a reset: it has the action."""
    meanings = game.unwrapped.get_action_meanings()  # type: ignore[attr-defined]
    return len(meanings) >= 3 and meanings[1] == "FIRE"


class ScreenSpace(gym.Wrapper[Any, Any, Any, Any]):
    """Declares the emulator's screen as the observation space, which is all that AtariPreprocessing reads here."""

    def __init__(self, game: gym.Env[Any, Any]) -> None:
        super().__init__(game)
        screen: tuple[int, int] = game.unwrapped.ale.getScreenDims()  # type: ignore[attr-defined]
        self.observation_space = _bytes(screen)


class FrameStack(gym.Wrapper[Any, Any, Any, Any]):
    """Stacks the latest frames, ``[count, *frame]``, the newest last; a reset repeats its first frame.

    Gymnasium's FrameStackObservation gives the same, but through a queue, a stack and a deep copy.
    """

    def __init__(self, game: gym.Env[Any, Any], count: int) -> None:
        super().__init__(game)
        assert game.observation_space.shape is not None
        shape = (count, *game.observation_space.shape)
        self.observation_space = _bytes(shape)
        self._frames = np.zeros(shape, np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        frame, info = self.env.reset(seed=seed, options=options)
        self._frames[...] = frame
        return self._frames.copy(), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        frame, reward, terminated, truncated, info = self.env.step(action)
        self._frames[:-1] = self._frames[1:]
        self._frames[-1] = frame
        return self._frames.copy(), reward, terminated, truncated, info


class FireReset(gym.Wrapper[Any, Any, Any, Any]):
    """Presses FIRE after a reset, for games that do nothing before."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.env.reset(seed=seed, options=options)
        obs, _, terminated, truncated, info = self.env.step(1)
        if terminated or truncated:
            obs, info = self.env.reset(options=options)
        return obs, info


class LifeLostInfo(gym.Wrapper[Any, Any, Any, Any]):
    """Replaces the emulator's info, which always holds something, by one that is empty unless a life was lost.

    An empty info need not travel between processes.
    """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        obs, _ = self.env.reset(seed=seed, options=options)
        self._ale = self.env.unwrapped.ale  # type: ignore[attr-defined]
        self._lives = self._ale.lives()
        return obs, {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, _ = self.env.step(action)
        lives = self._ale.lives()
        lost, self._lives = lives < self._lives, lives
        return obs, reward, terminated, truncated, {"life_lost": True} if lost else {}


def _bytes(shape: tuple[int, ...]) -> gym.Space[Any]:
    return Box(0, 255, shape, np.uint8)


def _check_kwargs(env: EnvConfig) -> None:
    for key in env.kwargs:
        if key in _OURS:
            raise ConfigError(f"env.kwargs.{key} is set elsewhere for Atari games: {_OURS[key]}")
