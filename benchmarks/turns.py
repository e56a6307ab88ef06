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
        command: starts it, given the board and the settings; None: turn_taker.py does.
        environ: more variables of its environment.
    """

    def __init__(
        self,
        root: Path,
        overrides: Sequence[str],
        folder: Path,
        command: Sequence[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        path = folder / "board"
        path.write_bytes(bytes(32))
        self._board: Any = np.memmap(path, np.float64, "r+", shape=(4,))
        self._said = (folder / "said").open("w+")
        words = [*(command or [sys.executable, str(HERE / "turn_taker.py")]), str(path), *overrides]
        variables = {**child_environment(root), **(environ or {})}
        self._process = subprocess.Popen(words, env=variables, cwd=folder, stdout=self._said, stderr=self._said)

    @property
    def steps(self) -> int:
        """Trained so far."""
        return int(self._board[STEPS])

    def turn(self, seconds: float) -> float:
        """Train for this long; returns steps per second.

        Raises:
            MeasurementError: it ended, or did not pause.
        """
        before = self.begin()
        time.sleep(seconds)
        self.pause()
        return self.speed_since(before)

    def begin(self) -> tuple[float, float, float]:
        """Begin a turn; returns turns, steps and seconds so far."""
        before = (float(self._board[TURNS]), float(self._board[STEPS]), float(self._board[SECONDS]))
        self._board[GO] = 1
        return before

    def pause(self) -> None:
        """End a turn; it takes until the rollout is done."""
        self._board[GO] = 0

    def speed_since(self, before: tuple[float, float, float]) -> float:
        """Steps per second of a turn, once it has paused. Raises as :meth:`turn`."""
        turns, steps, spent = before
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
