"""``a2c replay``: repeat a numeric error from its dump, and see where it began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from a2c.cli.command import NamedNetwork, allow_code, read_arguments
from a2c.errors import ConfigError, NumericError
from a2c.settings.setting import setting

USAGE = """\
Usage: a2c replay DUMP

  a2c replay runs/CartPole-v1/2026-01-01_12-00-00_a2c-seed1/numeric-1280.pt

A run that ends with a numeric error (exit code 4) writes such a dump. This repeats the update that failed, on the CPU
and without the environment, checks every number on the way, and prints the first that is not finite and what it was
computed from. Exit code: 0, or 4 if the failure does not come again here.

Settings:"""


@dataclass(slots=True)
class ReplayCommand:
    """What to repeat."""

    dump: str | None = setting("the dump, instead of naming it without dump=")
    network: NamedNetwork = setting("network of the run")


def run(arguments: Sequence[str]) -> int:
    """Repeat the numeric error of the dump that the command line names; returns the exit code."""
    named = [text for text in arguments if "=" not in text and not text.startswith("-")]
    command = read_arguments([text for text in arguments if text not in named], ReplayCommand, "replay", USAGE)
    if command is None:
        return 0
    dumps = [*named, *([] if command.dump is None else [command.dump])]
    if len(dumps) != 1:
        raise ConfigError(f"a2c replay takes one dump, got {len(dumps) or 'none'}: a2c replay runs/.../numeric-1280.pt")
    from rich.console import Console
    from rich.text import Text

    from a2c.run.replaying import replay  # imports torch

    network = command.network
    found = replay(Path(dumps[0]), lambda cfg: allow_code(cfg, dumps[0], None, network, arguments))
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"{dumps[0]}: {found.where}"))
    console.print(Text(found.error, style="dim"))
    if found.sound:
        console.print(Text(f"finite: {', '.join(found.sound)}", style="dim"))
    if found.found is None or not found.again:
        raise NumericError(_why_not(found.found, dumps[0]))
    console.print(Text.assemble("the first number that is not finite: ", (found.found, "bold red")))
    return 0


def _why_not(found: str | None, dump: str) -> str:
    if found is not None:
        return f"{dump} does not fail here: {found}, but the update is applied"
    return f"{dump} does not fail here: every number is finite, on this machine and in one process on the CPU"
