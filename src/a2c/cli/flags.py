"""Separates Hydra's flags from the ``key=value`` overrides around them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from a2c.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """Answers a mistake by a :class:`ConfigError`."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Read flags and ``overrides``, in any order.

    Raises:
        ConfigError: a flag is unknown or has a wrong value, or the folder of ``-cd`` does not exist.
    """
    parser = Parser(prog="a2c", add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-c", "--cfg", choices=["job", "hydra", "all"])
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("-p", "--package")
    parser.add_argument("-i", "--info", nargs="?", const="all")
    parser.add_argument("-cd", "--config-dir", type=Path)
    parser.add_argument("-sc", "--shell-completion", action="store_true")
    parser.add_argument("--trust", action="store_true")
    parser.add_argument("--hydra-help", action="store_true")
    flags, unknown = parser.parse_known_intermixed_args(list(arguments))
    if unknown:
        flag = unknown[0]
        setting = flag.lstrip("-")
        hint = f"settings have no dashes: {setting if '=' in setting else f'{setting}=...'}"
        raise ConfigError(f"unknown option '{flag}'; {hint}")
    if flags.config_dir is not None:
        flags.config_dir = flags.config_dir.resolve()
        if not flags.config_dir.is_dir():
            raise ConfigError(f"config folder {flags.config_dir} does not exist")
    return flags
