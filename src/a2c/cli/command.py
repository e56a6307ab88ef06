"""The arguments of a command that takes settings but makes no run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

from omegaconf import OmegaConf

from a2c.cli.flags import parse_flags
from a2c.cli.help import setting_lines
from a2c.errors import ConfigError
from a2c.settings.code_names import by_part, importable
from a2c.settings.compose import compose_plain
from a2c.settings.config import Config, EnvConfig
from a2c.settings.named_wrappers import named_wrappers
from a2c.settings.overrides import prepare
from a2c.settings.setting import check_ranges, setting
from a2c.settings.trust import FLAG, ask_for_trust, code_of, code_of_network
from a2c.settings.typed_settings import build

Command = TypeVar("Command")


@dataclass(slots=True)
class NamedEnv:
    """What a command says about the environment of the run that it names."""

    id: str | None = setting(
        f"the run's env.id, where it imports a module: typed again, or {FLAG}, allows that; "
        "where a program handed it over: what to play"
    )
    wrappers: list[Any] | None = setting(f"the run's env.wrappers, where they import a module; again, or {FLAG}")
    kwargs: dict[str, Any] = setting("its secrets among env.kwargs, given again: env.kwargs.api_key=...")


@dataclass(slots=True)
class NamedNetwork:
    """What a command says about code of the user's in the network of the run that it names."""

    make: str | None = setting(f"the run's network.make: typed again, or {FLAG}, allows to import its module")
    torso: str | None = setting("likewise its network.torso, where it names a module")
    encoders: dict[str, Any] = setting("likewise its network.encoders.*")


def read_arguments(arguments: Sequence[str], schema: type[Command], name: str, usage: str) -> Command | None:
    """The settings of ``conf/<name>.yaml`` with the overrides in ``arguments``.

    Args:
        arguments: flags and overrides.
        schema: the dataclass of the command's settings.
        name: of the command.
        usage: what ``--help`` prints before the settings.

    Returns:
        The checked record; None if ``--help`` or ``--cfg`` printed instead.

    Raises:
        ConfigError: a flag, key, type or value is wrong.
    """
    flags = parse_flags(arguments)
    if flags.help:
        print("\n".join([usage, *setting_lines(schema, name)]))
        return None
    if flags.multirun:
        raise ConfigError(f"a2c {name} has no -m")
    if flags.trust and not {"run", "dump"} & {item.name for item in fields(cast(Any, schema))}:
        raise ConfigError(f"a2c {name} has no {FLAG}: it loads no run")
    tree = compose_plain(name, prepare(flags.overrides, schema, {}))
    command = check_ranges(build(schema, tree))
    if flags.cfg:
        print(OmegaConf.to_yaml(OmegaConf.create(tree)), end="")
        return None
    return command


def allow_code(
    saved: Config, run: object, env: NamedEnv | None, network: NamedNetwork, arguments: Sequence[str]
) -> Config:
    """Let environment and network of a run be made, if whoever typed the command knows what that imports.

    Args:
        saved: the settings of the run; its ``env.id``, where a program handed the environment over, becomes the one
            that is named.
        run: names it in errors.
        env, network: of the command line; None: the command makes no environment.
        arguments: of the command line, for ``--trust``.

    Returns:
        ``saved``.

    Raises:
        ConfigError: a setting imports a module that nobody named, or the command names another one.
    """
    again = _named_again(saved.env, run, env) if env is not None else set()
    code = code_of(saved) if env is not None else code_of_network(saved.network)
    named = {"network.make": network.make, "network.torso": network.torso}
    named |= {f"network.encoders.{part}": name for part, name in by_part(network.encoders)}
    for key, name in named.items():
        if name is not None and name != code.get(key):
            raise ConfigError(f"{key}={name}, but {run} was trained with {code.get(key, 'ours')}; leave out {key}=")
    again |= {key for key, name in named.items() if name is not None}
    if FLAG not in arguments:
        ask_for_trust({key: name for key, name in code.items() if key.partition("[")[0] not in again}, str(run))
    return saved


def _named_again(saved: EnvConfig, run: object, env: NamedEnv) -> set[str]:
    """The settings of a run's environment that the command names again."""
    again = set()
    if env.id is not None:
        if env.id != saved.id and importable(saved.id):
            raise ConfigError(f"env.id={env.id}, but {run} was trained on {saved.id}; leave out env.id=")
        saved.id = env.id
        again.add("env.id")
    if env.wrappers is not None:
        if named_wrappers(env.wrappers) != named_wrappers(saved.wrappers):
            raise ConfigError(f"{run} was trained with env.wrappers={saved.wrappers}; leave out env.wrappers=")
        again.add("env.wrappers")
    return again
