"""One session of a training: ``a2c train`` in a process of its own, looked at from outside through /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from a2c.storage.folders import LATEST
from a2c.storage.metrics_file import METRICS

TESTS = Path(__file__).parents[1]
SHARED_MEMORY = Path("/dev/shm")
PATIENCE = 300.0  # seconds for what must come, on a machine that may be busy: nothing here is judged by the clock
LOOK = 0.02  # seconds between two looks
MARK = "A2C_SOAK_SESSION"


class Session:
    """Start the command; its output goes to ``out.txt`` and ``err.txt`` in ``home``.

    Args:
        home: working directory; ``runs_dir`` is beside it unless the overrides name another.
        overrides: of ``a2c train``.
        runs: ``runs_dir``.
    """

    def __init__(self, home: Path, runs: Path, *overrides: str) -> None:
        self.runs, self.out, self.err = runs, home / "out.txt", home / "err.txt"
        self._mark, self._files = f"{MARK}={uuid.uuid4().hex}", shared_files()
        self._before = self.stamp()
        paths = [str(TESTS.parent / "src"), str(TESTS), os.environ.get("PYTHONPATH", "")]
        name, _, value = self._mark.partition("=")
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "a2c", "train", f"runs_dir={runs}", *overrides],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), name: value},
                cwd=home,
                start_new_session=True,
            )
        self.pid, self.born = self.process.pid, time.monotonic()

    @property
    def folder(self) -> Path | None:
        """The run's folder, once it is there."""
        latest = self.runs / LATEST
        return latest.resolve() if latest.exists() else None

    @property
    def age(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.born

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def stamp(self) -> tuple[int, int] | None:
        """Changes with every row."""
        for path in sorted(self.runs.glob(f"*/*/{METRICS}")):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                return stat.st_mtime_ns, stat.st_size
        return None

    def begun(self) -> bool:
        """Whether it has opened its records: training, or an evaluation that the last session owes, begins."""
        return self.stamp() != self._before

    def wait_until(self, ready: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        """Wait until it is ``ready`` or ``seconds`` have passed; returns whether it is."""
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK)
        return True

    def send(self, name: str) -> float:
        """Send a signal to the trainer alone, and wait for its end; returns the seconds that it took."""
        begin = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(getattr(signal, name))
        self.process.wait(PATIENCE)
        return time.monotonic() - begin

    def family(self) -> dict[int, str]:
        """The command line of every process that it has started and that is still there, the trainer left out."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            if int(entry.name) in (self.pid, os.getpid()):
                continue
            with contextlib.suppress(OSError):  # ended meanwhile, or another user's
                if self._mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        return found

    def left(self) -> list[str]:
        """What is still there some time after its end: processes, and files in shared memory that nobody uses."""
        found: list[str] = []

        def clean() -> bool:
            found[:] = [f"process {pid} ({words})" for pid, words in self.family().items()]
            found.extend(str(path) for path in unused(shared_files() - self._files))
            return not found

        self.wait_until(clean, 60.0)
        return found

    def kill(self) -> None:
        """End all of it, for a test that failed."""
        for pid in (self.pid, *self.family()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


@contextlib.contextmanager
def session(home: Path, runs: Path, *overrides: str) -> Iterator[Session]:
    """A session of which nothing outlives the block."""
    home.mkdir(parents=True, exist_ok=True)
    running = Session(home, runs, *overrides)
    try:
        yield running
    finally:
        if not running.ended:
            running.kill()


def shared_files() -> set[Path]:
    """The files in shared memory, of whatever program."""
    return set(SHARED_MEMORY.iterdir()) if SHARED_MEMORY.is_dir() else set()


def unused(files: set[Path]) -> set[Path]:
    """Those that no process has mapped; other programs on this machine use the rest."""
    inodes: dict[str, Path] = {}
    for path in files:
        with contextlib.suppress(FileNotFoundError):
            inodes[str(path.stat().st_ino)] = path
    for maps in Path("/proc").glob("[0-9]*/maps") if inodes else ():
        with contextlib.suppress(OSError):
            for line in maps.read_text(errors="replace").splitlines():
                fields = line.split()
                if len(fields) > 5 and fields[5].startswith(str(SHARED_MEMORY)):
                    inodes.pop(fields[4], None)
    return set(inodes.values())
