"""The settings of an environment for tests of this folder, without composing a whole config."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

from a2c.envs.choosing.plan import plan
from a2c.envs.make_vector_env import AnyVectorEnv, make_vector_env
from a2c.settings.config import AtariConfig, Config, EnvConfig
from envs import toys

ATARI = AtariConfig(
    frame_skip=4,
    frame_stack=4,
    screen_size=84,
    noop_max=30,
    repeat_action_probability=0.0,
    fire_reset=True,
    life_loss=True,
)


def env_config(
    env_id: str, *, max_episode_steps: int | None = None, atari: Any = None, symbols: Any = None, **kwargs: Any
) -> EnvConfig:
    """An environment; further keywords are its own."""
    return EnvConfig(
        id=env_id,
        kwargs=kwargs,
        wrappers=[],
        reset_options={},
        max_episode_steps=max_episode_steps,
        clip_reward=False,
        channels="auto",
        symbols=symbols,
        masks="auto",
        step_timeout=None,
        restarts=3,
        isolate=False,
        atari=dataclasses.replace(ATARI, **(atari or {})),
    )


# How environments of our own are stepped: the same trajectories in all of them.
OURS = {
    "sync": {"vectorization": "sync"},
    "async": {"vectorization": "async"},
    "workers alone": {"vectorization": "workers", "main_shard": False},
    "workers and this process": {"vectorization": "workers", "main_shard": True},
}


def vector_config(
    env: EnvConfig,
    vectorization: str = "sync",
    num_envs: int = 3,
    num_workers: int | None = None,
    main_shard: bool | None = None,
) -> Config:
    """The part of a Config that makes vector environments; ``vectorization`` may also be a key of :data:`OURS`."""
    settings = {"main_shard": main_shard, **OURS.get(vectorization, {"vectorization": vectorization})}
    return cast(
        "Config",
        SimpleNamespace(env=env, num_envs=num_envs, num_workers=num_workers, env_groups=1, **settings),
    )


def planned(cfg: Config) -> AnyVectorEnv:
    """The vector environment that the settings ask for."""
    return make_vector_env(cfg.env, cfg.num_envs, plan(cfg))


def toy(name: str) -> str:
    """The id of a toy, as a user writes an environment of their own."""
    return f"{toys.__name__}:{name}"
