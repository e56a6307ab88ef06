"""``a2c runs``: every run, with its state and score."""

from __future__ import annotations

from collections.abc import Sequence

from a2c.cli.named_runs import explains, named_runs

USAGE = """\
Usage: a2c runs [RUN ...] [runs_dir=DIR]

  a2c runs                             those in runs/
  a2c runs 'runs/CartPole-v1/*lr*'     some of them: folders, or a pattern

running: its process is at work. finished: it has all its steps. stopped: by a signal, and saved. failed: neither; it
ended with an error, or was killed. age: since it last wrote."""


def run(arguments: Sequence[str]) -> int:
    """List the runs that the command line names; returns the exit code."""
    if explains(arguments, USAGE, "runs"):
        return 0
    from a2c.run.comparing.run_list import listed

    print("\n".join(listed(named_runs(arguments, otherwise="runs"))))
    return 0
