"""Make one environment from the settings."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.wrappers import TimeLimit

from a2c.envs.converting.masks import KEY, OFF, Masked, WithoutMask, finds_mask
from a2c.envs.foreign import close_in_time, users_own
from a2c.envs.single import atari
from a2c.envs.single.registry import find_spec, refusal
from a2c.envs.single.wrappers import ChannelFirst, Flat, Image, Packed, Vector
from a2c.envs.spaces import check_spaces
from a2c.errors import ConfigError
from a2c.settings.config import EnvConfig
from a2c.settings.redaction import asks_for, hidden_keys

Env = gym.Env[Any, Any]


def make_env(env: EnvConfig, *, render_mode: str | None = None) -> Env:
    """Make one environment as the learner sees it, with raw rewards.

    Observations become images ``[C, H, W]``, uint8 or float32 in [0, 1] (of Boxes that look like one, as
    ``env.channels`` says), or else float32 vectors ``[D]``. Actions are Discrete, a Box ``[D]`` or rows of numbers
    (:class:`a2c.envs.converting.actions.PackedActions`). Ids under ``ALE/`` get the standard preprocessing.

    Args:
        env: which environment.
        render_mode: Gymnasium's; None renders nothing.

    Raises:
        ConfigError: unknown id, missing package, wrong keyword arguments, unsupported spaces; or a keyword argument is
            a secret that its run did not keep.
        EnvironmentFailure: the environment's constructor raised; its traceback is a note.
    """
    if lost := hidden_keys(env.kwargs, "env.kwargs"):
        raise ConfigError(asks_for(lost))
    spec = find_spec(env.id)
    if spec.entry_point is None:
        raise ConfigError(f"{spec.id} registers a vector environment only; evaluation plays single ones (entry_point)")
    try:
        if atari.is_atari(spec):
            made = atari.make(spec, env, render_mode=render_mode)
        else:
            render = {} if render_mode is None else {"render_mode": render_mode}
            # The checker costs time at every step, and our own checks (check_spaces, contract.py) find the same.
            made = gym.make(
                spec,
                max_episode_steps=env.max_episode_steps,
                disable_env_checker=True,
                **{**env.kwargs, **render},
            )
    except BaseException as error:
        if users_own(error):
            raise
        raise refusal(error, spec, env.kwargs) from error
    try:
        made = _as_learned_from(made, env.channels, env.masks)
        check_spaces(made.observation_space, made.action_space)
    except BaseException as error:
        close_in_time(made.close, spec.id)
        if users_own(error):
            raise
        raise refusal(error, spec, env.kwargs, "has no spaces that can be read") from error
    return made


def has_time_limit(env: EnvConfig, made: Env | None = None) -> bool:
    """Whether something besides the environment itself ends its episodes after a number of steps.

    Args:
        env: which environment; its registration or the settings may give a limit, and Atari games have one of frames.
        made: one of them, in whose wrappers a limit may be too; None: not looked at.

    Raises:
        ConfigError: as :func:`a2c.envs.single.registry.find_spec`.
    """
    spec = find_spec(env.id)
    if env.max_episode_steps is not None or spec.max_episode_steps is not None or atari.is_atari(spec):
        return True
    while isinstance(made, gym.Wrapper):
        if isinstance(made, TimeLimit):
            return True
        made = made.env
    return False


def reward_threshold(env_id: str) -> float | None:
    """The mean return at which the environment counts as solved, if its registration names one.

    Raises:
        ConfigError: as :func:`a2c.envs.single.registry.find_spec`.
    """
    return find_spec(env_id).reward_threshold


def _channels_last(first: int, second: int, last: int) -> bool:
    """Whether an image of this shape is ``[H, W, C]``: by which two sides are alike, else by which end is shorter."""
    if (first == second) != (second == last):
        return first == second
    return last < first


def _as_learned_from(env: Env, channels: str, masks: str) -> Env:
    """The environment with the observations and actions that the trainer works with."""
    if masks != OFF and isinstance(env.observation_space, Dict) and KEY in env.observation_space.spaces:
        env = WithoutMask(env)
    env = _actions(_observations(env, channels))
    read = finds_mask(env, masks)
    return env if read is None else Masked(env, read)


def _observations(env: Env, channels: str) -> Env:
    space = env.observation_space
    if not isinstance(space, Box):
        return Flat(env)
    shape = space.shape
    floats = np.issubdtype(space.dtype, np.floating) and space.low.min(initial=0) >= 0
    image = space.dtype == np.uint8 or (floats and len(shape) > 2 and space.high.max(initial=0) in (1, 255))
    if image and len(shape) in (2, 3, 4) and min(shape[-2:] if len(shape) == 2 else shape) > 0:
        last = len(shape) > 2 and (channels == "last" or (channels == "auto" and _channels_last(*shape[-3:])))
        if space.dtype == np.uint8 and len(shape) == 3:
            return ChannelFirst(env) if last else env
        return Image(env, last)
    if len(shape) != 1 or space.dtype != np.float32:
        return Vector(env)
    return env


def _actions(env: Env) -> Env:
    space = env.action_space
    plain = isinstance(space, Discrete) or (isinstance(space, Box) and len(space.shape) == 1)
    return env if plain else Packed(env)
