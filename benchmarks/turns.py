"""Trainings that take turns of half a second: what slows the machine slows all of them alike."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from processes import HERE, MeasurementError, child_environment

GO, TURNS, STEPS, SECONDS = range(4)  # as in turn_taker.py
WARM_UP = 3  # turns
Side = tuple[Path, Sequence[str]]  # the checkout and the settings of a training
PATIENCE = 120.0  # seconds for a start or for the end of a turn


class Training:
    """One training in a process of its own, paused unless it is its turn.

    Args:
        root: the checkout.
        overrides: its settings.
        folder: for its files.
    """

    def __init__(self, root: Path, overrides: Sequence[str], folder: Path) -> None:
        path = folder / "board"
        path.write_bytes(bytes(32))
        self._board: Any = np.memmap(path, np.float64, "r+", shape=(4,))
        self._said = (folder / "said").open("w+")
        command = [sys.executable, str(HERE / "turn_taker.py"), str(path), *overrides]
        self._process = subprocess.Popen(
            command, env=child_environment(root), cwd=folder, stdout=self._said, stderr=self._said
        )

    @property
    def steps(self) -> int:
        """Trained so far."""
        return int(self._board[STEPS])

    def turn(self, seconds: float) -> float:
        """Train for this long; returns steps per second.

        Raises:
            MeasurementError: it ended, or did not pause.
        """
        turns, steps, spent = self._board[TURNS], self._board[STEPS], self._board[SECONDS]
        self._board[GO] = 1
        time.sleep(seconds)
        self._board[GO] = 0
        self.wait(turns)
        return float((self._board[STEPS] - steps) / (self._board[SECONDS] - spent))

    def wait(self, turns: float = 0.0) -> None:
        """Wait until it has done more turns; by default, until it is ready. Raises as :meth:`turn`."""
        deadline = time.monotonic() + PATIENCE
        while self._board[TURNS] == turns:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._said.seek(0)
                raise MeasurementError(f"a training ended or hangs: {self._said.read()[-300:]}")
            time.sleep(0.001)

    def close(self) -> None:
        """End it."""
        self._board[GO] = -1
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()


@contextlib.contextmanager
def trainings(sides: Mapping[str, Side]) -> Iterator[dict[str, Training]]:
    """One paused training for each side, warmed up; they end on leaving."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        found = {}
        for name, (root, overrides) in sides.items():
            own = Path(folder) / name
            own.mkdir()
            found[name] = Training(root, overrides, own)
            stack.callback(found[name].close)
        for training in found.values():
            training.wait()
            for _ in range(WARM_UP):
                training.turn(0.5)
        yield found
