"""``a2c show``: what one run is, what it came to, and how to go on with it."""

from __future__ import annotations

from collections.abc import Sequence

from a2c.cli.named_runs import explains, named_runs
from a2c.errors import ConfigError

USAGE = """\
Usage: a2c show RUN [runs_dir=DIR]

  a2c show latest
  a2c show runs/CartPole-v1/2026-01-01_12-00-00_a2c-seed1

State, score, the settings that differ from the defaults (those in parentheses), checkpoints, and the command that goes
on with it."""


def run(arguments: Sequence[str]) -> int:
    """Show the run that the command line names; returns the exit code."""
    if explains(arguments, USAGE, "show"):
        return 0
    runs = named_runs(arguments)
    if len(runs) > 1:
        raise ConfigError(f"a2c show takes one run, not {len(runs)}; a2c runs lists them")
    from a2c.run.comparing.run_facts import facts_of

    facts = facts_of(runs[0])
    width = max(len(name) for name, _ in facts)
    print("\n".join(f"{name:<{width}}  {text}".rstrip() for name, text in facts))
    return 0
