"""Put ``env.wrappers`` around an environment, and ``env.reset_options`` into its resets."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import gymnasium as gym

from a2c.envs.foreign import users_own
from a2c.envs.single.importing import import_named
from a2c.errors import ConfigError, EnvironmentFailure
from a2c.machine.processes.failure_report import text_of
from a2c.settings.named_wrappers import NamedWrapper, named_wrappers
from a2c.settings.redaction import redact
from a2c.settings.suggest import nearest

Env = gym.Env[Any, Any]


def wrapped(env: Env, wrappers: Sequence[Any], reset_options: Mapping[str, Any]) -> Env:
    """The environment within its wrappers, of which the first stands innermost.

    Args:
        env: the environment.
        wrappers: as in ``env.wrappers``.
        reset_options: for every reset; those that the caller of a reset gives come before them.

    Raises:
        ConfigError: there is no such wrapper, it does not take its arguments, or it does not give an environment.
        EnvironmentFailure: it raised; its traceback is a note.
    """
    for one in named_wrappers(wrappers):
        env = _applied(one, env)
    return ResetOptions(env, reset_options) if reset_options else env


class ResetOptions(gym.Wrapper[Any, Any, Any, Any]):
    """Gives these options to every reset, also to those between the episodes of a vector environment."""

    def __init__(self, env: Env, options: Mapping[str, Any]) -> None:
        super().__init__(env)
        self._options = dict(options)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        # A copy: the environment may keep or change what it gets.
        return self.env.reset(seed=seed, options={**deepcopy(self._options), **(options or {})})


def _applied(one: NamedWrapper, env: Env) -> Env:
    try:
        made = _found(one)(env, **deepcopy(one.arguments))
    except ConfigError:
        raise
    except BaseException as error:
        if users_own(error):
            raise
        line = next(iter(text_of(error).strip().splitlines()), "") or "no message"
        if isinstance(error, TypeError) and "argument" in line:
            raise ConfigError(f"env.wrappers: {one.label} does not accept {redact(one.arguments)}: {line}") from error
        failure = EnvironmentFailure(f"env.wrappers: {one.label} could not be made: {type(error).__name__}: {line}")
        failure.add_note("".join(traceback.format_exception(error)))
        raise failure from None
    if not isinstance(made, gym.Env):
        raise ConfigError(f"env.wrappers: {one.label} gave a {type(made).__name__}, no gymnasium.Env")
    return made


def _found(one: NamedWrapper) -> Callable[..., Any]:
    import_named(f"env.wrappers: {one.label}", one.module)
    module: Any = sys.modules[one.module]
    found: Any = module
    for part in one.name.split("."):
        found = getattr(found, part, None)
    # A run folder may name Gymnasium's without anybody's trust: only what wraps, of all that can be reached there.
    if one.of_gymnasium and not (isinstance(found, type) and issubclass(found, gym.Wrapper)):
        found = None
    if not callable(found):
        guess = nearest(one.name, [name for name in dir(module) if callable(getattr(module, name))])
        hint = f"; did you mean {one.module}:{guess}?" if guess else ""
        raise ConfigError(f"env.wrappers: {one.module} has no wrapper '{one.name}'{hint}")
    return found  # type: ignore[no-any-return]
