"""Look at an environment's spaces before there is anything else: the settings that nobody gave follow from them."""

from __future__ import annotations

import math
from dataclasses import replace

from a2c.envs.converting.actions import CONTINUOUS, columns_of
from a2c.envs.converting.plain_spaces import is_tabular
from a2c.envs.foreign import close_in_time
from a2c.envs.make_vector_env import make_registered
from a2c.envs.single.from_envpool import is_envpool
from a2c.envs.single.make_env import make_env
from a2c.envs.single.registry import find_spec
from a2c.envs.spaces import Spaces, spaces_of
from a2c.envs.vector.lent import ready
from a2c.machine.processes.apart import call_apart
from a2c.settings.auto_values import Traits, decide, reads_symbols, undecided
from a2c.settings.config import Config, EnvConfig
from a2c.settings.rules import validate


def decided(cfg: Config) -> Config:
    """The settings of a run, none of them auto: what nobody gave follows from the algorithm and the spaces.

    Makes an environment and closes it, unless all are given or the algorithm alone decides.

    Args:
        cfg: validated settings.

    Raises:
        ConfigError: the environment cannot be made, or its spaces are not supported.
        EnvironmentFailure: its constructor raised.
    """
    if not undecided(cfg):
        return cfg
    return validate(decided_by(spaces_by_look(cfg), cfg) if cfg.algo == "a2c" else decide(cfg))


def decided_by(spaces: Spaces, cfg: Config) -> Config:
    """As :func:`decided`, where the spaces are known."""
    return decide(cfg, traits_of(spaces)) if undecided(cfg) else cfg


def traits_of(spaces: Spaces) -> Traits:
    """What of the spaces the settings follow from."""
    images = spaces.image or spaces.images_within
    return Traits(not spaces.whole, _bounded(spaces), images, is_tabular(spaces.obs_original), spaces.obs_symbols)


def _bounded(spaces: Spaces) -> bool:
    """Whether every continuous part of an action lies within finite bounds, which leave it some room."""
    if spaces.discrete:
        return True
    begin = 0
    for part in spaces.parts or ((CONTINUOUS, (spaces.actions,)),):
        end = begin + columns_of(part)
        bounds = zip(spaces.low[begin:end], spaces.high[begin:end], strict=True)
        if part[0] == CONTINUOUS and not all(0 < high - low < math.inf for low, high in bounds):
            return False
        begin = end
    return True


def env_as_read(cfg: Config) -> EnvConfig:
    """The environment, whose grids of symbols nobody has decided on, as this algorithm and network take them."""
    if "env.symbols" not in undecided(cfg) or (cfg.algo == "a2c" and reads_symbols(cfg.network)):
        return cfg.env
    return replace(cfg.env, symbols=None)


def spaces_by_look(cfg: Config) -> Spaces:
    """Make one environment, look at its spaces and close it; raises as :func:`decided`."""
    if cfg.env.isolate:
        spaces: Spaces = call_apart(spaces_by_look, replace(cfg, env=replace(cfg.env, isolate=False)))
        return spaces
    spec = find_spec(cfg.env.id)
    if lender := ready(spec):  # open before, and after
        lent = lender(cfg.num_envs)
        return spaces_of(lent.single_observation_space, lent.single_action_space)
    if cfg.vectorization in ("native", "device") or is_envpool(spec):
        many = make_registered(cfg.env, 1, num_threads=1, device=_device(cfg))
        try:
            return spaces_of(many.single_observation_space, many.single_action_space)
        finally:
            close_in_time(many.close, cfg.env.id)
    env = make_env(env_as_read(cfg))
    try:
        return spaces_of(env.observation_space, env.action_space)
    finally:
        close_in_time(env.close, cfg.env.id)


def _device(cfg: Config) -> str | None:
    if cfg.vectorization != "device":
        return None
    from a2c.machine.device import use_device  # imports torch

    return str(use_device(cfg.device, tf32=cfg.tf32))
