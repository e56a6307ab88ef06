"""The environment of a training that a program hands over as an object."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from a2c.envs.backends import autoreset_mode
from a2c.envs.make_vector_env import check_evaluation
from a2c.envs.single.own import EnvMaker, known, spec_of
from a2c.envs.spaces import check_spaces
from a2c.envs.vector.lent import Ready
from a2c.errors import ConfigError
from a2c.settings.code_names import name_of
from a2c.settings.config import Config
from a2c.settings.notices import tell

AnyVectorEnv = VectorEnv[Any, Any, Any]


@contextlib.contextmanager
def with_given(cfg: Config, env: EnvMaker | AnyVectorEnv | None, eval_env: EnvMaker | None = None) -> Iterator[Config]:
    """The settings of a training on what a program handed over, for as long as it lasts.

    Args:
        cfg: the settings.
        env: makes environments, or is a vector environment; None: ``cfg.env.id`` says all.
        eval_env: makes environments for evaluations, where ``env`` is a vector environment.

    Raises:
        ConfigError: it is no such thing, or the settings ask for what does not go with it.
    """
    if isinstance(env, VectorEnv):
        with _ready(cfg, env, eval_env) as ready:
            yield ready
        return
    if eval_env is not None:
        raise ConfigError("eval_env= goes with a ready vector environment; any other env= is evaluated itself")
    if env is None:
        yield cfg
        return
    env_id = known(env)
    if env_id != cfg.env.id:
        tell(f"env= takes the place of {cfg.env.id}, whose other settings stay; a2c.load_config(..., env=...) has none")
    yield replace(cfg, env=replace(cfg.env, id=env_id))


@contextlib.contextmanager
def _ready(cfg: Config, envs: AnyVectorEnv, eval_env: EnvMaker | None) -> Iterator[Config]:
    _check_settings(cfg)
    autoreset_mode(envs)
    check_spaces(envs.single_observation_space, envs.single_action_space)
    maker: Any = None if eval_env is None else gym.registry[known(eval_env)].entry_point
    env = replace(cfg.env, id=name_of(envs.unwrapped))
    spec = gym.registry[env.id] = spec_of(env.id, maker, Ready(envs))
    if maker is not None:
        check_evaluation(env, envs)
    evaluation = cfg.eval
    if eval_env is None and evaluation.episodes:
        tell("no evaluation: env= is a ready vector environment, and eval_env= makes none for it")
        evaluation = replace(evaluation, episodes=0)
    if cfg.num_envs != envs.num_envs:
        tell(f"num_envs={envs.num_envs}, as the vector environment has; the settings said {cfg.num_envs}")
    try:
        yield replace(
            cfg,
            env=env,
            eval=evaluation,
            num_envs=envs.num_envs,
            vectorization="native",
        )
    finally:
        spec.vector_entry_point = None  # it is the caller's again; evaluations may still ask for the rest


def _check_settings(cfg: Config) -> None:
    """Refuse what would have to be known where the vector environment was made."""
    env = cfg.env
    cannot = {
        "algo=a3c": cfg.algo == "a3c",
        f"env_groups={cfg.env_groups}": cfg.env_groups > 1,
        f"vectorization={cfg.vectorization}": cfg.vectorization not in ("auto", "native"),
        "env.isolate=true": env.isolate,
        "env.kwargs": bool(env.kwargs),
        "env.wrappers": bool(env.wrappers),
        "env.reset_options": bool(env.reset_options),
        "env.max_episode_steps": env.max_episode_steps is not None,
        "env.step_timeout": env.step_timeout is not None,
    }
    for setting, wrong in cannot.items():
        if wrong:
            raise ConfigError(f"{setting} does not go with a ready vector environment, which is trained on as it is")
