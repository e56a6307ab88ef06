"""``a2c compare``: groups of runs over their seeds; the same follows every multirun."""

from __future__ import annotations

import argparse
import math
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from a2c.cli.flags import Parser
from a2c.cli.named_runs import named_runs
from a2c.errors import A2CError, ConfigError, RunIOError
from a2c.run.comparing.past_run import PastRun
from a2c.run.comparing.run_search import find_runs
from a2c.run.showing.figures import relative
from a2c.settings.notices import tell

USAGE = """\
Usage: a2c compare RUN ... [--score SCORE] [--out PICTURE] [--csv FILE] [--json FILE]

  a2c compare runs/CartPole-v1                  every run of an environment
  a2c compare 'runs/*/*_lr*' --score 400        a pattern; when each group reached 400
  a2c compare runs/a runs/b --out figure.pdf --csv figures.csv

Runs that differ in no setting but the seed are a group. A table tells of each group the interquartile mean of its final
scores, how likely a run of it is better than one of the first group, and how soon it reached a score; a picture shows
the learning curves with their bands. RUN: latest (of runs_dir=DIR), a run folder, a folder with runs in it, or a
pattern.

  --score SCORE     the score to reach; otherwise the threshold at which the environment counts as solved
  --out PICTURE     .png, .pdf or .svg; otherwise compare.png beside the runs
  --csv FILE        the table in full precision
  --json FILE       the same, with every run and the points of the curves"""
PICTURE = "compare.png"
PICTURES = (".png", ".pdf", ".svg")


def run(arguments: Sequence[str]) -> int:
    """Compare the runs that the command line names; returns the exit code."""
    options = _parse(arguments)
    if options.help:
        print(USAGE)
        return 0
    runs = named_runs(options.runs)
    picture = options.out or _beside(runs) / PICTURE
    _show(runs, picture, aim=options.score, csv=options.csv, json=options.json)
    return 0


def compare_jobs(folders: Sequence[Path]) -> None:
    """After a multirun, compare what its jobs have left; that it cannot be compared is one line, and no failure."""
    try:
        runs = find_runs([str(folder) for folder in folders if folder.is_dir()], "", tell)
        if len(runs) > 1 and any(run.env_steps for run in runs):
            print()
            _show(runs, _beside(runs) / f"{runs[0].folder.name}_{PICTURE}")
            print(f"again: a2c compare {shlex.join(relative(run.folder) for run in runs)}")
    except A2CError as error:
        tell(f"the runs are not compared: {str(error).partition(': ')[2]}")


def _show(
    runs: Sequence[PastRun],
    picture: Path,
    *,
    aim: float | None = None,
    csv: Path | None = None,
    json: Path | None = None,
) -> None:
    from a2c.run.comparing.comparison import compare, remarks  # these import scipy and matplotlib
    from a2c.run.comparing.comparison_data import as_csv, as_json
    from a2c.run.comparing.comparison_picture import draw_comparison
    from a2c.run.comparing.comparison_text import as_text
    from a2c.storage.atomic import write_text

    compared = compare(runs, aim)
    print(as_text(compared))
    for line in remarks(compared):
        print(line)
    with _writing():
        for path, text in ((csv, as_csv), (json, as_json)):
            if path is not None:
                write_text(path, text(compared))
                print(relative(path))
        print(relative(draw_comparison(compared, picture)))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="a2c compare", add_help=False, allow_abbrev=False)
    parser.add_argument("runs", nargs="*")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--score", type=float)
    for name in ("--out", "--csv", "--json"):
        parser.add_argument(name, type=Path)
    options = parser.parse_intermixed_args(list(arguments))
    if options.score is not None and not math.isfinite(options.score):
        raise ConfigError(f"--score {options.score} must be finite")
    if options.out is not None and options.out.suffix not in PICTURES:
        raise ConfigError(f"--out {options.out} must end in {', '.join(PICTURES)}")
    return options


def _beside(runs: Sequence[PastRun]) -> Path:
    """The folder that holds all of the runs."""
    return Path(os.path.commonpath([run.folder.parent for run in runs]))


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunIOError(f"cannot write {error.filename or 'the output'}: {error.strerror or error}") from error
