"""The arguments of a command that takes settings but makes no run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar, cast

from omegaconf import OmegaConf

from a2c.cli.flags import parse_flags
from a2c.cli.help import setting_lines
from a2c.errors import ConfigError
from a2c.settings.compose import compose_plain
from a2c.settings.overrides import prepare
from a2c.settings.setting import check_ranges, setting
from a2c.settings.trust import FLAG, ask_for_trust
from a2c.settings.typed_settings import build

Command = TypeVar("Command")


@dataclass(slots=True)
class NamedEnv:
    """What a command says about the environment of the run that it names."""

    id: str | None = setting(f"the run's env.id, where it imports a module: typed again, or {FLAG}, allows that")
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


def allow_code(saved: str, run: object, named: str | None, arguments: Sequence[str]) -> None:
    """Let the environment of a run be made, if whoever typed the command knows what that imports.

    Args:
        saved: ``env.id`` of the run.
        run: names it in errors.
        named: ``env.id`` of the command line.
        arguments: of the command line, for ``--trust``.

    Raises:
        ConfigError: the id imports a module that nobody named, or the command names another environment.
    """
    if named is not None and named != saved:
        raise ConfigError(f"env.id={named}, but {run} was trained on {saved}; leave out env.id=")
    if named is None and FLAG not in arguments:
        ask_for_trust(saved, str(run))
