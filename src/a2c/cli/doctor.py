"""``a2c doctor``: examine an environment before a long run."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from a2c.cli.flags import parse_flags
from a2c.errors import ConfigError, EnvironmentFailure, RunIOError
from a2c.settings.compose import load_config
from a2c.settings.redaction import Secrets, redact_argument

USAGE = """\
Usage: a2c doctor [env=PRESET | env.id=ID] [KEY=VALUE ...] [--report FILE]

  a2c doctor env.id=my_package.my_env:MyEnv-v0 num_envs=16
  a2c doctor env=pendulum --report report.md

It plays the environment at random, twice from the same seed, and says in a line each what is well (+), what would
better be changed (!), and what will not train (x). The settings are those of a2c train. --report FILE writes the same
with the versions of everything, for an issue tracker. Exit code: 0, or 3 if anything will not train."""

MARKS = {"good": "+", "change": "!", "broken": "x"}


def run(arguments: Sequence[str]) -> int:
    """Examine the environment that the command line names, and print the findings; returns the exit code."""
    report, rest = _take_report(list(arguments))
    flags = parse_flags(rest)
    if flags.help:
        print(USAGE)
        return 0
    if flags.multirun or flags.cfg:
        raise ConfigError("a2c doctor has neither -m nor -c")
    cfg = load_config(*flags.overrides, trust=flags.trust)
    from a2c.envs.examining.examination import examine

    secrets = Secrets.of(asdict(cfg))
    lines, code = [f"a2c doctor {' '.join(map(redact_argument, flags.overrides))}"], 0
    print(cfg.env.id)
    for finding in examine(cfg):
        lines.append(f"{MARKS[finding.kind]} {secrets.hide(finding.text)}")
        print(lines[-1], flush=True)
        if finding.kind == "broken":
            code = EnvironmentFailure.exit_code
    if report is not None:
        try:
            report.write_text(_report(lines), encoding="utf-8")
        except OSError as error:
            raise RunIOError(f"cannot write {report}: {error.strerror or error}") from error
        print(report)
    return code


def _take_report(arguments: list[str]) -> tuple[Path | None, list[str]]:
    for index, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name == "--report":
            rest = arguments[index + 1 :]
            if not value and not rest:
                raise ConfigError("--report needs a file: --report report.md")
            return (Path(value), arguments[:index] + rest) if value else (Path(rest[0]), arguments[:index] + rest[1:])
    return None, arguments


def _report(lines: list[str]) -> str:
    from a2c.study.machine import describe_machine  # imports torch

    machine = describe_machine()
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    facts = f"{platform.platform()}, {machine['cpu']}, {machine['cores']} cores, GPU: {machine['gpu'] or 'none'}"
    return "\n".join([*lines, "", versions, facts, ""])
