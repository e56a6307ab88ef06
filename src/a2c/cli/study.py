"""``a2c study``: measure the claims of the article."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from a2c.cli.command import read_arguments
from a2c.cli.exit_codes import exit_code_of, exit_code_of_stop, full_errors
from a2c.errors import ConfigError
from a2c.settings.setting import setting
from a2c.settings.suggest import nearest
from a2c.study.claims import CLAIMS
from a2c.study.settings import StudySettings

USAGE = f"""\
Usage: a2c study [KEY=VALUE ...]

  a2c study                                    every claim: a few minutes on two cores
  a2c study claims=[lag,entropy] seeds=10 scale=2
  a2c study measure=false                      judge and draw again what was measured before

Claims: {", ".join(CLAIMS)}

Settings:"""


@dataclass(slots=True)
class StudyCommand(StudySettings):
    """The size of the study, and whether to measure at all."""

    measure: bool = setting("false: judge and draw again what the folder holds, and measure nothing")


def run(arguments: Sequence[str]) -> int:
    """Measure the claims that the command line names and write the report; returns the exit code."""
    command = read_arguments(arguments, StudyCommand, "study", USAGE)
    if command is None:
        return 0
    for key in command.claims:
        if key not in CLAIMS:
            guess = nearest(key, CLAIMS)
            hint = f"did you mean '{guess}'? Claims" if guess else "claims"
            raise ConfigError(f"unknown claim '{key}'; {hint}: {', '.join(CLAIMS)}")
    from a2c.study.run import study  # imports torch and matplotlib

    outcome = study(command, measure=command.measure, tell=lambda line: print(line, flush=True))
    codes = [exit_code_of(error, full_errors()) for error in outcome.errors.values()]
    return exit_code_of_stop(outcome.stopped) or next(iter(codes), 0)
