"""A multirun whose launcher starts the jobs in processes of their own: started, watched, told of in a line each."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from a2c.cli.compare_runs import compare_jobs
from a2c.cli.exit_codes import full_errors
from a2c.cli.hydra_call import call_hydra
from a2c.cli.job_place import ERRORS, LOCK, Order, Outcome, folder_of, new_place, outcomes_in
from a2c.cli.job_signals import Stop, heard_here_alone
from a2c.cli.launched_job import launched_job
from a2c.cli.launcher_choice import Launcher, number_of_jobs
from a2c.cli.multirun import name_the_failed
from a2c.cli.standard_streams import point_nowhere
from a2c.errors import STOPPED, A2CError, ConfigError, RunIOError
from a2c.run.comparing.past_run import read_run
from a2c.run.showing.figures import relative
from a2c.settings.notices import tell
from a2c.settings.overrides import parse, quote
from a2c.storage.run_lock import hold

EVERY = 0.3  # seconds between looks at the jobs
MOST_LINES = 20  # of what a job that failed said
MOST_LETTERS = 200  # of what a launcher said that failed
OF_EACH_JOB = ("hydra.job.name", "hydra.job.chdir", "hydra.verbose")


def launch(
    launcher: Launcher, arguments: Sequence[str], overrides: Sequence[str], flags: argparse.Namespace, runs_dir: str
) -> int:
    """Train the jobs of a multirun by a launcher.

    Args:
        launcher: that Hydra shall use.
        arguments: for Hydra.
        overrides: of all jobs.
        flags: of the command line.
        runs_dir: where runs go.

    Returns:
        The exit code: that of the signal which ended it, or the first of a job that is not 0, or 0.

    Raises:
        ConfigError: the launcher cannot start.
        RunIOError: it lost jobs.
    """
    count = number_of_jobs(overrides)
    cores = launcher.cores(count)
    order = Order(_options(flags, overrides), os.getcwd(), _paths(), cores, launcher.local, full_errors(), os.getpid())
    place = new_place(Path(runs_dir), order)
    told = [*launcher.overrides, f"hydra.sweep.dir={quote(str(place))}", "hydra.sweep.subdir='${hydra.job.num}'"]
    print(_beginning(launcher, count, cores))
    lost: BaseException | None = None
    with (place / LOCK).open("w") as lock, _heard(launcher, place) as stop:
        hold(lock.fileno())
        with _told_of(place, count, _the_same(overrides), stop) as outcomes:
            try:
                call_hydra([*arguments, *told], "config", launched_job)
            except A2CError:
                shutil.rmtree(place, ignore_errors=True)
                raise
            except (Exception, KeyboardInterrupt) as error:  # of the launcher: a job's own has become its exit code
                if isinstance(error, KeyboardInterrupt) and not launcher.local:
                    tell(f"the jobs go on (scancel stops each in order); what they need lies in {relative(place)}")
                    return STOPPED["SIGINT"]
                lost = error
    return _ended(launcher, place, dict(sorted(outcomes.items())), stop, count, lost)


def _ended(
    launcher: Launcher,
    place: Path,
    outcomes: Mapping[int, Outcome],
    stop: Stop | None,
    count: int | None,
    lost: BaseException | None,
) -> int:
    """Say what came of all jobs; returns and raises as :func:`launch`."""
    codes = [outcome.exit_code for outcome in outcomes.values()]
    folders = [folder for number in outcomes if (folder := folder_of(place / str(number))) is not None]
    begun = {int(path.name) for path in place.glob("[0-9]*")}
    without = {*range(count or 0), *begun} - {*outcomes}
    if launcher.local or not without or not any(place.rglob("*.pkl")):  # else jobs may wait in Slurm's queue
        _remove(place)
    asked = stop.signals if stop is not None else []
    if not asked and len(folders) > 1:
        compare_jobs(folders)
    name_the_failed([outcome.overrides for outcome in outcomes.values()], codes)
    said = "" if lost is None else ": " + " ".join(f"{type(lost).__name__}: {lost}".split())[:MOST_LETTERS]
    if lost is not None and not begun:
        raise ConfigError(f"hydra/launcher={launcher.name}{said}") from lost
    if asked:
        return STOPPED[asked[0]]
    if without:
        numbers = ", ".join(str(number + 1) for number in sorted(without))
        where = "" if launcher.local else f"; {relative(place)} holds its logs"
        raise RunIOError(f"hydra/launcher={launcher.name} has lost run {numbers}{said}{where}") from lost
    return next((code for code in codes if code), 0)


def _remove(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    with contextlib.suppress(OSError):  # another multirun goes on
        place.parent.rmdir()


def _options(flags: argparse.Namespace, overrides: Sequence[str]) -> list[str]:
    """What each job is told of the command line beside its settings."""
    hydras = [text for text in overrides if parse(text)[1].key_or_group in OF_EACH_JOB]
    return ["--trust"] * flags.trust + (["--config-dir", str(flags.config_dir)] if flags.config_dir else []) + hydras


def _the_same(overrides: Sequence[str]) -> set[str]:
    """The settings that all jobs share."""
    return {item.get_key_element() for _, item in map(parse, overrides) if not item.is_sweep_override()}


def _paths() -> list[str]:
    return [path or os.getcwd() for path in sys.path]


def _beginning(launcher: Launcher, count: int | None, cores: int | None) -> str:
    jobs = "runs" if count is None else f"{count} run{'s' * (count > 1)}"
    at_once = launcher.at_once if count is None else min(launcher.at_once or count, count)
    if not launcher.local or at_once is None:
        return f"{jobs} by hydra/launcher={launcher.name}"
    share = "" if cores is None else f", each on {cores} core{'s' * (cores > 1)}"
    return f"{jobs} by hydra/launcher={launcher.name}, {at_once} at once{share}"


@contextlib.contextmanager
def _heard(launcher: Launcher, place: Path) -> Iterator[Stop | None]:
    """Jobs elsewhere go on when the command ends, as what ``sbatch`` has taken does."""
    if launcher.local:
        with heard_here_alone(place) as stop:
            yield stop
    else:
        yield None


@contextlib.contextmanager
def _told_of(place: Path, count: int | None, same: set[str], stop: Stop | None) -> Iterator[dict[int, Outcome]]:
    """Within the block, print a line for every job that ends, and pass signals on.

    Yields:
        How the jobs ended, by number; complete after the block.
    """
    outcomes: dict[int, Outcome] = {}
    over = threading.Event()

    def look() -> None:
        if stop is not None:
            stop.look()
        for number, outcome in outcomes_in(place).items():
            if number not in outcomes:
                outcomes[number] = outcome
                _tell_of(place / str(number), number, outcome, count, same)

    def watch() -> None:
        while not over.wait(EVERY):
            look()
        look()

    thread = threading.Thread(target=watch, name="jobs")
    thread.start()
    try:
        yield outcomes
    finally:
        over.set()
        thread.join()


def _tell_of(job: Path, number: int, outcome: Outcome, count: int | None, same: set[str]) -> None:
    """Print the line of a job that has ended, and what it said if it failed."""
    own = [text for text in outcome.overrides if text.partition("=")[0] not in same]
    name = " ".join([f"run {number + 1}", *([f"of {count}"] if count is not None else []), *own])
    folder, code = folder_of(job), outcome.exit_code
    where = "" if folder is None or not folder.is_dir() else f"  {relative(folder)}"
    what = _score(folder) if code == 0 else f"exit code {code}"
    try:
        print(f"{name}: {what}, {outcome.seconds:.0f} s{where}", flush=True)
    except OSError:  # the terminal is closed; the jobs are watched to their end all the same
        point_nowhere(sys.stdout)
    if code:
        with contextlib.suppress(OSError):
            said = (job / ERRORS).read_text(encoding="utf-8", errors="replace").splitlines()
            for line in said[-MOST_LINES:]:
                tell(line)


def _score(folder: Path | None) -> str:
    with contextlib.suppress(A2CError):
        run = None if folder is None else read_run(folder)
        if run is not None and run.score is not None:
            return f"score {run.score:.2f} +- {run.score_std or 0:.2f}"
    return "no score"
