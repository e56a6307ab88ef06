"""Shell completion: Hydra's, taught that ``train`` is a command and not an override."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence

from a2c.cli.commands import COMMANDS

OF_RUNS = {"runs", "show", "compare"}  # they take folders, not settings


def complete(arguments: Sequence[str]) -> int:
    """``-sc install=bash`` prints a script to eval; that script asks ``-sc query=bash``. Returns the exit code."""
    from a2c.cli.train import run_hydra

    line = os.environ.get("COMP_LINE", "")
    words = line.split()
    if arguments and arguments[0].startswith("query="):
        typing_command = len(words) < 2 or (len(words) == 2 and not line.endswith(" "))
        if typing_command:
            print(" ".join(COMMANDS))
            return 0
        if words[1] in OF_RUNS:
            print(" ".join(sorted(glob.glob(glob.escape("" if line.endswith(" ") else words[-1]) + "*"))))
            return 0
        if words[1] in COMMANDS:
            os.environ["COMP_LINE"] = line.replace(f" {words[1]}", "", 1)
            config = {"train": "config", "doctor": "config"}.get(words[1], words[1])
            return run_hydra(["--shell-completion", *arguments], config)
    return run_hydra(["--shell-completion", *arguments], "config")
