"""Runs each measurement in a new process, so that no earlier one (threads, caches, memory) reaches it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from a2c.storage.atomic import write_text

HERE = Path(__file__).resolve().parent


class MeasurementError(Exception):
    """A measurement failed; says why in one line."""


def child_environment(root: Path = HERE.parent) -> dict[str, str]:
    """The environment of a process that imports the a2c of a checkout, installed or not, and its benchmarks."""
    path = [str(root / "src"), str(root / "benchmarks"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def run_script(script: str, *arguments: str, timeout: float = 600, root: Path = HERE.parent) -> str:
    """Run a benchmark of a checkout and return what it prints.

    Raises:
        MeasurementError: it failed, or took longer than ``timeout`` seconds.
    """
    command = [sys.executable, str(root / "benchmarks" / script), *arguments]
    try:
        with tempfile.TemporaryDirectory() as folder:  # MuJoCo leaves a log where it runs
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                cwd=folder,
                env=child_environment(root),
            )
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"{script} was not done after {timeout:g} s") from error
    if done.returncode != 0:
        raise MeasurementError(f"{script}: {_last_line(done.stderr) or f'ended with {done.returncode}'}")
    return done.stdout


def measure(script: str, *arguments: str, timeout: float = 600, root: Path = HERE.parent) -> dict[str, Any]:
    """Run a benchmark of a checkout and return the JSON object in the last line that it prints.

    Raises:
        MeasurementError: as :func:`run_script`, or that line is not JSON.
    """
    line = _last_line(run_script(script, *arguments, timeout=timeout, root=root))
    try:
        return dict(json.loads(line))
    except json.JSONDecodeError as error:
        raise MeasurementError(f"{script} printed no JSON but {line!r}") from error


def store(path: Path, results: Any) -> None:
    """Write JSON so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(results, indent=1) + "\n")


def stored(path: Path) -> dict[str, Any]:
    """What :func:`store` wrote, or nothing."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def command_line(arguments: Sequence[str], script: str) -> str:
    """The command that made the results, for the record."""
    return " ".join(["python", f"benchmarks/{script}", *arguments])


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def measured_or_stored(
    parser: argparse.ArgumentParser,
    args: argparse.Namespace,
    path: Path,
    run: Callable[[argparse.Namespace, Path], object],
) -> dict[str, Any]:
    """The results in ``path``: measured and stored by ``run`` now or, with ``--draw``, as they were stored before."""
    if not args.draw:
        run(args, path)
    if not (results := stored(path)):
        parser.error(f"there is no {path}")
    return results
