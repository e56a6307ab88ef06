"""Make one environment from the settings."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.wrappers import TimeLimit

from a2c.envs.converting.images import Reading, layout_of, symbols_of_cells
from a2c.envs.converting.masks import KEY, OFF, Masked, MaskedBox, WithoutMask, finds_mask
from a2c.envs.converting.observations import FlatBox
from a2c.envs.foreign import close_in_time, users_own
from a2c.envs.single import atari
from a2c.envs.single.grid_symbols import symbols_of
from a2c.envs.single.registry import find_spec, refusal
from a2c.envs.single.wrappers import Flat, Image, Packed, Vector
from a2c.envs.single.wrapping import wrapped
from a2c.envs.spaces import check_spaces
from a2c.errors import ConfigError
from a2c.settings.config import EnvConfig
from a2c.settings.redaction import asks_for, hidden_keys

Env = gym.Env[Any, Any]


def make_env(env: EnvConfig, *, render_mode: str | None = None) -> Env:
    """Make one environment as the learner sees it, with raw rewards.

    Observations become images ``[C, H, W]``, uint8 or float32 in [0, 1] (of Boxes that look like one, as
    ``env.channels`` says), or else float32 vectors ``[D]``, in which grids of symbols (``env.symbols``) are one-hot.
    Actions are Discrete, a Box ``[D]`` or rows of numbers (:class:`a2c.envs.converting.actions.PackedActions`). Ids
    under ``ALE/`` get the standard preprocessing. Wrappers of ``env.wrappers`` stand around that, and within this
    conversion.

    Args:
        env: which environment.
        render_mode: Gymnasium's; None renders nothing.

    Raises:
        ConfigError: unknown id, missing package, wrong keyword arguments, unsupported spaces; or a keyword argument is
            a secret that its run did not keep.
        EnvironmentFailure: the environment's constructor raised; its traceback is a note.
    """
    given = {"kwargs": env.kwargs, "wrappers": env.wrappers, "reset_options": env.reset_options}
    if lost := hidden_keys(given, "env"):
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
    base = made
    try:
        made = wrapped(made, env.wrappers, env.reset_options)
        made = _as_learned_from(made, Reading(env.channels, symbols_of(made, env.symbols)), env.masks)
        _check_symbols(made.observation_space, env.symbols)
        check_spaces(made.observation_space, made.action_space)
    except BaseException as error:
        close_in_time(base.close, spec.id)
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


def _as_learned_from(env: Env, reading: Reading, masks: str) -> Env:
    """The environment with the observations and actions that the trainer works with."""
    if masks != OFF and isinstance(env.observation_space, Dict) and KEY in env.observation_space.spaces:
        env = WithoutMask(env)
    env = _actions(env)
    read = finds_mask(env, masks)
    if read is None:
        return _observations(env, reading)
    return Masked(_flattened(env, reading), read)


def _observations(env: Env, reading: Reading) -> Env:
    space = env.observation_space
    layout = layout_of(space, reading.channels) if isinstance(space, Box) else None
    if layout is None or symbols_of_cells(layout, reading) is not None:
        return _flattened(env, reading)
    unchanged = layout.shape == layout.converted_shape and not layout.last and space.dtype == layout.dtype
    return env if unchanged and layout.divisor == 1 else Image(env, layout)


def _flattened(env: Env, reading: Reading) -> Env:
    space = env.observation_space
    if not isinstance(space, Box) or layout_of(space, reading.channels):
        return Flat(env, reading)
    return env if len(space.shape) == 1 and space.dtype == np.float32 else Vector(env)


def _actions(env: Env) -> Env:
    space = env.action_space
    plain = isinstance(space, Discrete) or (isinstance(space, Box) and len(space.shape) == 1)
    return env if plain else Packed(env)


def _check_symbols(space: Any, symbols: Any) -> None:
    """Refuse ``env.symbols`` that have no effect."""
    if isinstance(symbols, list):
        inner = space.converted if isinstance(space, MaskedBox) else space
        if not isinstance(inner, FlatBox) or not inner.symbols:
            numbers = f"{len(symbols)} number{'' if len(symbols) == 1 else 's'}"
            raise ConfigError(f"env.symbols={symbols}: observations hold no small image of bytes with {numbers} a cell")
