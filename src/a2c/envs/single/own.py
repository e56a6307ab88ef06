"""Environments of the user's own that no package registers: a class or function in a program, or in a module.

Whoever makes an environment finds it by its name in Gymnasium's registry, which every process that we start gets a copy
of (:class:`a2c.machine.processes.launch.Registered`). So one that a script or a notebook cell defines reaches workers,
evaluations and A3C as any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import FunctionType
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

from a2c.errors import ConfigError
from a2c.settings.code_names import attribute, name_of

EnvMaker = Callable[..., gym.Env[Any, Any]]  # a class, or a function that makes one with ``env.kwargs``


def known(env: EnvMaker) -> str:
    """Make an environment known in this process and all that it starts.

    Args:
        env: a class, or anything that returns an environment when it is called with ``env.kwargs``; with
            ``render_mode`` too, to record ``agent.gif``.

    Returns:
        Its name for ``env.id``, ``module:Name``; where an import would not find it there, with ``<`` and ``>``.

    Raises:
        ConfigError: it is no such thing.
    """
    if isinstance(env, gym.Env) or not callable(env):
        raise ConfigError(f"env={env!r} must be a class or a function that makes a gymnasium.Env: several are made")
    if isinstance(env, type) and not issubclass(env, gym.Env):
        raise ConfigError(f"env={env.__qualname__} is no gymnasium.Env")
    env_id = name_of(env)
    # Gymnasium copies what it makes from, except classes and functions.
    plain = env if isinstance(env, type | FunctionType) else lambda **arguments: env(**arguments)
    gym.registry[env_id] = spec_of(env_id, plain)
    return env_id


def spec_of(env_id: str, maker: EnvMaker | None, vector_maker: Any = None) -> EnvSpec:
    """A registration of that id; Gymnasium's ids know no ``<`` and ``>``."""
    return EnvSpec(re.sub(r"[<>]", "", env_id), maker, vector_entry_point=vector_maker)


def found_in_module(env_id: str) -> EnvSpec | None:
    """The registration of ``module:Name`` where that is a class or function; the module has been imported.

    In our own modules, which need nobody's trust, and in a program it must be an environment or a function made there:
    of all that can be reached by their names, nothing else may be called.

    Raises:
        ConfigError: it is a vector environment.
    """
    module, _, name = env_id.rpartition(":")
    found = attribute(module, name)
    if isinstance(found, type) and issubclass(found, VectorEnv):
        raise ConfigError(f"env.id={env_id} is a vector environment; hand a ready one to a2c.train(cfg, env=...)")
    ours = module in ("a2c", "__main__") or module.startswith("a2c.")
    if isinstance(found, type):
        makes = issubclass(found, gym.Env)
    elif ours:
        makes = isinstance(found, FunctionType) and module == "__main__" == found.__module__
    else:
        makes = callable(found)
    if not makes:
        return None
    gym.registry[env_id] = spec_of(env_id, found)
    return gym.registry[env_id]
