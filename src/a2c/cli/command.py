"""The arguments of a command that takes settings but makes no run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, cast

from omegaconf import OmegaConf

from a2c.cli.flags import parse_flags
from a2c.cli.help import setting_lines
from a2c.errors import ConfigError
from a2c.settings.compose import compose_plain
from a2c.settings.config import EnvConfig
from a2c.settings.named_wrappers import named_wrappers
from a2c.settings.overrides import prepare
from a2c.settings.setting import check_ranges, setting
from a2c.settings.trust import FLAG, ask_for_trust, of_a_program
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
    if flags.trust and "run" not in {item.name for item in fields(cast(Any, schema))}:
        raise ConfigError(f"a2c {name} has no {FLAG}: it loads no run")
    tree = compose_plain(name, prepare(flags.overrides, schema, {}))
    command = check_ranges(build(schema, tree))
    if flags.cfg:
        print(OmegaConf.to_yaml(OmegaConf.create(tree)), end="")
        return None
    return command


def allow_code(saved: EnvConfig, run: object, named: NamedEnv, arguments: Sequence[str]) -> EnvConfig:
    """The environment of a run, if whoever typed the command knows what making it imports.

    Args:
        saved: of the run.
        run: names it in errors.
        named: of the command line.
        arguments: of the command line, for ``--trust``.

    Raises:
        ConfigError: it imports a module that nobody named, or the command names another environment.
    """
    if named.id is not None and named.id != saved.id and not of_a_program(saved.id):
        raise ConfigError(f"env.id={named.id}, but {run} was trained on {saved.id}; leave out env.id=")
    if named.wrappers is not None and named_wrappers(named.wrappers) != named_wrappers(saved.wrappers):
        raise ConfigError(f"{run} was trained with env.wrappers={saved.wrappers}; leave out env.wrappers=")
    if FLAG not in arguments:
        unnamed = saved.wrappers if named.wrappers is None else None
        ask_for_trust(saved.id if named.id is None else None, unnamed, str(run))
    return replace(saved, id=named.id or saved.id)
