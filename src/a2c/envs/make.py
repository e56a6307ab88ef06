"""From the settings to an environment, and to N of them side by side."""

from __future__ import annotations

import functools
import inspect
import multiprocessing
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.spaces import Box, Discrete, Space
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv

from a2c.config import Config, EnvConfig
from a2c.cores import usable_cores
from a2c.envs import atari
from a2c.envs.choose import Choice, choose, team, with_workers
from a2c.envs.failures import as_failure
from a2c.envs.inprocess import InProcessVectorEnv
from a2c.envs.registry import find_spec, refusal
from a2c.envs.timing import time_processes, time_steps
from a2c.envs.wrappers import ChannelFirst, KeepFinalObservation, Vector
from a2c.errors import A2CError, ConfigError

Env = gym.Env[Any, Any]
AnyVectorEnv = VectorEnv[Any, Any, Any]


def make_env(env: EnvConfig, *, render_mode: str | None = None) -> Env:
    """One environment as the learner sees it, rewards raw.

    Observations come out as float32 vectors ``[D]`` (any Box of up to two dimensions) or as uint8 images
    ``[C, H, W]`` (``[H, W, C]`` is turned around). Ids under ``ALE/`` get the standard preprocessing.

    Raises:
        ConfigError: unknown id, missing package, wrong keyword arguments, unsupported spaces.
        EnvironmentFailure: the environment's constructor raised.
    """
    spec = find_spec(env.id)
    if spec.entry_point is None:
        raise ConfigError(f"{spec.id} registers a vector environment only; evaluation plays single ones (entry_point)")
    try:
        if atari.is_atari(spec):
            made = atari.make(spec, env, render_mode=render_mode)
        else:
            render = {} if render_mode is None else {"render_mode": render_mode}
            # The checker costs time at every step and its findings are ours to report (check_spaces, the adapter).
            made = gym.make(
                spec,
                max_episode_steps=env.max_episode_steps,
                disable_env_checker=True,
                **{**env.kwargs, **render},
            )
    except Exception as error:
        raise refusal(error, spec, env.kwargs) from error
    made = _as_vector_or_image(made)
    try:
        check_spaces(made.observation_space, made.action_space)
    except ConfigError:
        made.close()
        raise
    return made


def plan(cfg: Config) -> Choice:
    """What will step the environments: as ``cfg.vectorization`` says, or for ``auto`` the quicker of sync and hybrid.

    One environment is made and closed here, so that what is wrong with it shows before any process starts.

    Raises:
        ConfigError, EnvironmentFailure: as :func:`make_env`.
    """
    spec = find_spec(cfg.env.id)
    workers, cores = cfg.num_workers, max(1, usable_cores() // cfg.env_groups)  # groups share the cores
    if cfg.vectorization in ("native", "device"):
        where = " on the learner's device" if cfg.vectorization == "device" else ""
        return Choice(cfg.vectorization, workers, f"the vector environment that {spec.id} registers{where}")
    env = make_env(cfg.env)
    try:
        if cfg.vectorization == "auto":
            chosen = _choose(cfg, env, cores)
            native = spec.vector_entry_point is not None
            hint = f"vectorization=native: {spec.id} registers one, with random numbers of its own" if native else ""
            return replace(chosen, hint=hint)
    finally:
        env.close()
    why = {
        "sync": "in this process",
        "async": "one process each",
        "sharded": team(min(workers or cores, cfg.num_envs)),
        "hybrid": with_workers(min(workers or cores - 1, cfg.num_envs - 1)),
    }
    return Choice(cfg.vectorization, workers, why[cfg.vectorization])


def make_vector_env(cfg: Config, choice: Choice | None = None) -> AnyVectorEnv:
    """``num_envs`` environments side by side, by ``cfg.vectorization``.

    hybrid | sharded | async | sync reset in the same step and follow the same trajectories for the same seeds and
    actions; auto is one of them, by its cost. native is the vector environment that the id registers for itself, in
    whichever mode it resets. For device there is :func:`a2c.device_envs.adapter.make_device_envs`.

    Args:
        cfg: the settings.
        choice: what :func:`plan` gave for them; None asks it.

    Raises:
        ConfigError: as :func:`make_env`; or native where there is none.
        EnvironmentFailure: an environment could not be made.
    """
    choice = choice or plan(cfg)
    if choice.vectorization == "native":
        return make_registered(cfg)
    make = functools.partial(make_env, cfg.env)
    try:
        if choice.vectorization in ("sharded", "hybrid"):
            from a2c.envs.sharded import ShardedAsyncVectorEnv

            envs = ShardedAsyncVectorEnv(
                [make] * cfg.num_envs,
                copy=False,
                autoreset_mode=AutoresetMode.SAME_STEP,
                num_workers=choice.num_workers,
                main_shard=choice.vectorization == "hybrid",
            )
            envs.log_failures = False  # the exception says it all, once
            return envs
        if choice.vectorization == "async":
            kept = functools.partial(_make_keeping_final, cfg.env)
            # fork after torch has started its threads deadlocks the workers
            methods = multiprocessing.get_all_start_methods()
            return AsyncVectorEnv(
                [kept] * cfg.num_envs,
                context="forkserver" if "forkserver" in methods else "spawn",
                copy=False,
                autoreset_mode=AutoresetMode.SAME_STEP,
            )
        return InProcessVectorEnv([make] * cfg.num_envs, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    except A2CError:
        raise
    except Exception as error:
        raise as_failure(error, None, f"making {cfg.num_envs} x {cfg.env.id}") from error


def make_registered(cfg: Config, device: str | None = None) -> AnyVectorEnv:
    """The vector environment that the id registers for itself, ``num_envs`` wide.

    Args:
        cfg: the settings.
        device: where its arrays shall live; told only to one whose constructor takes ``device``.

    Raises:
        ConfigError: it registers none, or one with unsupported spaces.
        EnvironmentFailure: its constructor raised.
    """
    spec = find_spec(cfg.env.id)
    if spec.vector_entry_point is None:
        raise ConfigError(
            f"vectorization={cfg.vectorization}: {spec.id} registers no vector environment of its own; "
            "use vectorization=auto"
        )
    try:
        if atari.is_atari(spec):
            envs = atari.make_native(spec, cfg.env, cfg.num_envs, cfg.num_workers)
        else:
            limit = {} if cfg.env.max_episode_steps is None else {"max_episode_steps": cfg.env.max_episode_steps}
            where = {"device": device} if device and _takes_device(spec) else {}
            envs = gym.make_vec(
                spec,
                num_envs=cfg.num_envs,
                vectorization_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT,
                **{**cfg.env.kwargs, **limit, **where},
            )
    except Exception as error:
        raise refusal(error, spec, cfg.env.kwargs) from error
    try:
        check_spaces(envs.single_observation_space, envs.single_action_space)
    except ConfigError:
        envs.close()
        raise
    return envs


def check_spaces(observation_space: Space[Any], action_space: Space[Any]) -> None:
    """Raise :class:`ConfigError` unless both spaces are supported, saying what is."""
    obs, action = observation_space, action_space
    vector = isinstance(obs, Box) and len(obs.shape) == 1
    image = isinstance(obs, Box) and len(obs.shape) == 3 and obs.dtype == np.uint8
    if not (vector or image):
        raise ConfigError(
            f"observation space {_brief(obs)} is not supported; supported: Box vectors, and uint8 images "
            "[H, W, C] or [C, H, W]; gymnasium.wrappers (FlattenObservation, TransformObservation) can convert others"
        )
    discrete = isinstance(action, Discrete)
    continuous = isinstance(action, Box) and len(action.shape) == 1 and np.issubdtype(action.dtype, np.floating)
    if not (discrete or continuous):
        raise ConfigError(
            f"action space {_brief(action)} is not supported; supported: Discrete, and Box of one dimension of floats"
        )


def reward_threshold(env_id: str) -> float | None:
    """The mean return at which the environment counts as solved, where its registration names one."""
    return find_spec(env_id).reward_threshold


def _choose(cfg: Config, env: Env, cores: int) -> Choice:
    """For ``auto``: by rule where there is one, else by timing ``env``."""
    if cfg.num_workers is not None:
        shards = min(cfg.num_workers, cfg.num_envs)
        return Choice("sharded", cfg.num_workers, f"{team(shards)}, as num_workers says")
    if cfg.env.step_timeout is not None:
        why = f"{team(min(cores, cfg.num_envs))}: env.step_timeout can only give up on a process"
        return Choice("sharded", None, why)
    in_group = -(-cfg.num_envs // cfg.env_groups)
    most = min(in_group, cores)
    if most < 2:
        one = "one environment" if in_group == 1 else "there is one usable core"
        return Choice("sync", None, f"in this process: {one}")
    try:
        step = time_steps(env)
    except (Exception, SystemExit) as error:
        # The run will tell it with its index, step and traceback, if random actions were not what broke it.
        why = f"{team(min(cores, cfg.num_envs))}: the environment raised {type(error).__name__} while it was timed"
        return Choice("sharded", None, why)
    if cfg.env_groups == 1:
        return choose(time_processes(step, most), in_group, cores)
    # This process serves one group while the others step, and workers sleep between their turns.
    return choose(time_processes(step, most, spin=0.0), in_group, cores, main_shard=False)


def _make_keeping_final(env: EnvConfig) -> Env:
    return KeepFinalObservation(make_env(env))


def _as_vector_or_image(env: Env) -> Env:
    space = env.observation_space
    if not isinstance(space, Box):
        return env
    if space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[-1] in (1, 3, 4):
        return ChannelFirst(env)
    grey_image = space.dtype == np.uint8 and len(space.shape) == 2  # not a vector; check_spaces says what to do
    if len(space.shape) <= 2 and not grey_image and (len(space.shape) != 1 or space.dtype != np.float32):
        return Vector(env)
    return env


def _takes_device(spec: EnvSpec) -> bool:
    entry = spec.vector_entry_point
    make = load_env_creator(entry) if isinstance(entry, str) else entry
    return make is not None and "device" in inspect.signature(make).parameters


def _brief(space: Space[Any]) -> str:
    if isinstance(space, Box):  # its own text prints the bounds of every element
        return f"Box(shape={space.shape}, dtype={space.dtype})"
    return str(space)
