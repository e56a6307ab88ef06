"""What to measure: works that Stable-Baselines3 can do too, and our ways to do them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from a2c.settings.config import Config
from a2c.study.plain_settings import PLAIN_A2C


@dataclass(frozen=True)
class Work:
    """One piece of work: the environment, how many of them, and the length of a rollout."""

    title: str
    env: str
    num_envs: int
    n_step: int = 5
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Way:
    """One of our ways to do a work: a row of the table.

    Plain A2C has Stable-Baselines3's settings: 64-64 tanh or NatureCNN, float32. Python environments
    run untuned (vectorization=auto): only Stable-Baselines3 is tuned to the machine beforehand.
    """

    work: str
    title: str
    overrides: tuple[str, ...] = ()
    floor: float | None = None  # ratio to SB3 on 2 CPU cores that must be reached
    aim: float | None = None  # and the one that we hope for


# Plain A2C, which is Stable-Baselines3's default too, with torch's own RMSprop; each by its key: earlier checkouts,
# where these were the general settings, know no algo=a2c_paper.
SAME_WORK = (*PLAIN_A2C, "optimizer=rmsprop", "wandb.mode=disabled", "gif=false")
PYTHON = ("vectorization=auto",)
NATIVE = ("vectorization=native",)

WORKS = {
    "cartpole-16": Work("CartPole N=16", "CartPole-v1", 16),
    "cartpole-128": Work("CartPole N=128", "CartPole-v1", 128),
    "halfcheetah-16": Work("HalfCheetah N=16", "HalfCheetah-v5", 16),
    "pong-16": Work("Pong N=16", "ALE/Pong-v5", 16, overrides=("env.clip_reward=true",)),
}
WAYS = {
    "cartpole-16": Way("cartpole-16", "CartPole N=16", PYTHON, floor=3.0, aim=4.5),
    "cartpole-16-native": Way("cartpole-16", "CartPole N=16, native", NATIVE, floor=4.0, aim=6.0),
    "cartpole-128": Way("cartpole-128", "CartPole N=128", PYTHON, floor=2.0, aim=2.8),
    "cartpole-128-native": Way("cartpole-128", "CartPole N=128, native", NATIVE, floor=4.5, aim=7.0),
    "halfcheetah-16": Way("halfcheetah-16", "HalfCheetah N=16", PYTHON, floor=2.0, aim=3.0),
    "pong-16": Way("pong-16", "Pong N=16", PYTHON, floor=1.3, aim=1.8),
    "pong-16-native": Way("pong-16", "Pong N=16, native", NATIVE, floor=1.3, aim=1.8),
    "pong-16-bf16": Way("pong-16", "Pong N=16, bf16", ("precision=bf16", *PYTHON), floor=1.8, aim=2.5),
    "pong-16-bf16-native": Way("pong-16", "Pong N=16, bf16, native", ("precision=bf16", *NATIVE), floor=1.8, aim=2.5),
}


def settings(way: Way, device: str) -> list[str]:
    """The overrides of ``a2c train`` for this way."""
    work = WORKS[way.work]
    size = (f"env.id={work.env}", f"num_envs={work.num_envs}", f"n_step={work.n_step}", f"device={device}")
    return [*SAME_WORK, *size, *work.overrides, *way.overrides]


def missing_setting(way: Way) -> str | None:
    """Why this version of a2c cannot do it this way: it lacks a setting; None if it can."""
    known = {field.name for field in dataclasses.fields(Config)}
    for override in way.overrides:
        name = override.partition("=")[0].partition(".")[0]
        if name not in known:
            return f"a2c has no setting {name!r}"
    return None
