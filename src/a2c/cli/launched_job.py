"""What a launcher calls for each job of a multirun, in whatever process and on whatever machine.

The job trains in a process of its own, as ``a2c train`` with its settings: it prints into its run folder, and however
it ends, an exit code comes of it. This process waits, and passes on what ends it: the command's own end, Ctrl-C there,
or what Slurm says.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from a2c.cli.job_nodes import Task, interfaces, ranks_each, task_here, torchrun
from a2c.cli.job_place import (
    ARGUMENTS,
    CONSOLE,
    ERRORS,
    LOCK,
    OUTPUT,
    PLACE,
    Order,
    asked_to_stop,
    folder_of,
    noted_code,
    read_order,
    write_outcome,
)
from a2c.cli.job_scheduler import Scheduler
from a2c.cli.job_signals import ignore_signals
from a2c.errors import STOPPED
from a2c.settings.overrides import parse

EVERY = 0.2  # seconds between looks
GRACE = 30.0  # seconds to save, once the command is gone

_watched: set[int] = set()  # processes, this one, with a thread that waits for the command's end
_running: list[subprocess.Popen[bytes]] = []


def launched_job(tree: DictConfig) -> int:
    """Train one job, whose place is Hydra's output folder; returns its exit code."""
    hydra = HydraConfig.get()
    place, overrides = Path(hydra.runtime.output_dir), list(hydra.overrides.task)
    order = read_order(place.parent)
    # The command itself may be a job that submitit has started: that is no task of ours.
    task = task_here() if "submitit" in str(hydra.launcher.get("_target_")) else None
    if order.local and order.command != os.getpid():
        ignore_signals()
        _end_with_command(place.parent / LOCK)
    began, stopped = time.monotonic(), asked_to_stop(place.parent) if order.local else []
    if stopped:
        code = STOPPED[stopped[0]]
    else:
        command = [sys.executable, "-m", "a2c.cli.job_process"]
        if task is not None and task.count > 1:
            command = torchrun(task, ranks_each(tree.ranks, task.count, hydra.launcher.get("gpus_per_node")))
        code = _ended(place, order, command, _environment(place, order, overrides, task), task)
    if task is None or task.number == 0:
        write_outcome(place, overrides, code, time.monotonic() - began)
    return code


def arguments_of(order: Order, overrides: Sequence[str], *, again: bool) -> list[str]:
    """The arguments of ``a2c train`` for a job; one that starts again goes on with its run."""
    if again:
        overrides = [*(text for text in overrides if parse(text)[1].key_or_group != "resume"), "resume=auto"]
    return [*order.options, *overrides]


def _environment(place: Path, order: Order, overrides: Sequence[str], task: Task | None) -> dict[str, str]:
    arguments = arguments_of(order, overrides, again=folder_of(place) is not None)
    told = {PLACE: str(place), ARGUMENTS: json.dumps(arguments), "PYTHONPATH": os.pathsep.join(order.paths)}
    environ = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
    told |= {"HYDRA_FULL_ERROR": "1"} if order.full_errors else {}
    told |= {} if order.cores is None else {"A2C_CORES": str(order.cores)}
    told |= {} if task is None else interfaces(task, environ)
    return environ | told


def _ended(place: Path, order: Order, command: list[str], environ: Mapping[str, str], task: Task | None) -> int:
    """Run a job's process to its end; returns the exit code of the job."""
    with (place / OUTPUT).open("ab") as output, (place / ERRORS).open("wb") as errors, Scheduler(task) as scheduler:
        process = subprocess.Popen(
            command, cwd=order.folder, env=environ,
            stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True,
        )  # fmt: skip
        _running.append(process)
        try:
            _wait(process, place.parent if order.local else None, scheduler)
        finally:
            if process.poll() is None:  # whatever has interrupted us
                process.terminate()
                process.wait()
            _running.remove(process)
        code = process.returncode if process.returncode >= 0 else 128 - process.returncode
        if code:
            code = noted_code(place) or code  # torchrun's own is 1 for any failure
        if code == STOPPED["SIGTERM"]:
            scheduler.go_on()
    if task is None or task.number == 0:
        _keep_errors(place)
    return code


def _wait(process: subprocess.Popen[bytes], place: Path | None, scheduler: Scheduler) -> None:
    """Wait for a process, and pass on, one after the other, the signals that ask for its end."""
    sent = 0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(EVERY)
            return
        names = ["SIGTERM"] if scheduler.heard else []
        names += asked_to_stop(place) if place is not None else []
        for name in names[sent:]:
            sent += 1
            process.send_signal(signal.Signals[name] if sent < 3 else signal.SIGKILL)


def _keep_errors(place: Path) -> None:
    """Put what a job wrote to its standard error below what it printed, in its run folder."""
    folder, said = folder_of(place), (place / ERRORS).read_bytes()
    if folder is not None and said:
        with contextlib.suppress(OSError), (folder / CONSOLE).open("ab") as console:
            console.write(said)


def _end_with_command(lock: Path) -> None:
    """From now on, when the command has gone, end this process, and what it trains, in order.

    A thread waits for the command's lock: some processes of launchers live for long after it.
    """
    if sys.platform == "win32" or os.getpid() in _watched:
        return
    import fcntl

    descriptor = os.open(lock, os.O_RDONLY)
    _watched.add(os.getpid())

    def wait() -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        except OSError:  # there are no locks here
            return
        for process in _running:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="command watch").start()
