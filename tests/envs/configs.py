"""The settings of an environment for tests of this folder, without composing a whole config."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any, cast

from a2c.config import AtariConfig, Config, EnvConfig

from . import toys

ATARI = AtariConfig(
    frame_skip=4,
    frame_stack=4,
    screen_size=84,
    noop_max=30,
    repeat_action_probability=0.0,
    fire_reset=True,
    life_loss=True,
)


def env_config(env_id: str, *, max_episode_steps: int | None = None, atari: Any = None, **kwargs: Any) -> EnvConfig:
    """An environment; further keywords are its own."""
    return EnvConfig(
        id=env_id,
        kwargs=kwargs,
        max_episode_steps=max_episode_steps,
        clip_reward=False,
        step_timeout=None,
        atari=dataclasses.replace(ATARI, **(atari or {})),
    )


def vector_config(
    env: EnvConfig, vectorization: str = "sync", num_envs: int = 3, num_workers: int | None = None
) -> Config:
    """The part of a Config that makes vector environments."""
    return cast(
        "Config",
        SimpleNamespace(env=env, vectorization=vectorization, num_envs=num_envs, num_workers=num_workers, env_groups=1),
    )


def toy(name: str) -> str:
    """The id of a toy, as a user writes an environment of their own."""
    return f"{toys.__name__}:{name}"
