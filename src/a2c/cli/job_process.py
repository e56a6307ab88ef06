"""``python -m a2c.cli.job_process``: the training of one job of a multirun, in a process of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from a2c.cli import train
from a2c.cli.exit_codes import exit_code_of, full_errors
from a2c.cli.job_place import ARGUMENTS, CONSOLE, PLACE, note_code, note_folder
from a2c.cli.job_signals import hear_signals
from a2c.machine.processes.parent_watch import stop_without_parent
from a2c.machine.rank_place import place_here
from a2c.settings.redaction import Secrets


def main() -> int:
    """Train, and note the run folder and the exit code in the job's place; returns the exit code."""
    hear_signals()
    stop_without_parent()
    job, arguments = Path(os.environ.pop(PLACE)), json.loads(os.environ.pop(ARGUMENTS))
    rank = place_here()
    leads = rank is None or rank.rank == 0
    if leads:
        note_code(job, None)
    code = _trained(job, arguments)
    if leads:
        note_code(job, code)
    return code


def _trained(job: Path, arguments: list[str]) -> int:
    def begun(folder: Path, trains: bool) -> None:
        note_folder(job, folder)
        if trains:
            sys.stdout.flush()
            with (folder / CONSOLE).open("ab") as file:
                os.dup2(file.fileno(), sys.stdout.fileno())

    try:
        code = train.run(arguments, begun)
        sys.stdout.flush()
        return code
    except (Exception, KeyboardInterrupt) as error:
        Secrets.of_arguments(arguments).hide_in(error)
        return exit_code_of(error, full_errors())


if __name__ == "__main__":
    sys.exit(main())
