"""The arguments of a command that takes settings but makes no run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from omegaconf import OmegaConf

from a2c.cli.flags import parse_flags
from a2c.cli.help import setting_lines
from a2c.errors import ConfigError
from a2c.settings.compose import compose_plain
from a2c.settings.config import check_ranges
from a2c.settings.overrides import prepare
from a2c.settings.typed_settings import build

Command = TypeVar("Command")


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
    tree = compose_plain(name, prepare(flags.overrides, schema, {}))
    command = check_ranges(build(schema, tree))
    if flags.cfg:
        print(OmegaConf.to_yaml(OmegaConf.create(tree)), end="")
        return None
    return command
