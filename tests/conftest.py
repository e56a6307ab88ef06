"""What holds for every test: no process and no shared memory outlives it, and one that measures time runs alone."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from collections.abc import Generator, Iterator
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import pytest
from hypothesis import settings

from a2c.machine.cores import usable_cores

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: the tensors are small, and the machine may be busy
settings.register_profile("a2c", max_examples=50, deadline=None, derandomize=True, database=None)  # the same everywhere
settings.load_profile("a2c")
# Who starts the suite in the background, or under nohup, has these ignored; tests press them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

SHARED_MEMORY = Path("/dev/shm")
GRACE = 120.0  # seconds that a process which was told to leave may take: a busy machine lets it wait
MOST_PROCESSES = 8


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """``pytest -n auto``: more processes than cores, for much of the time tests wait for processes of their own."""
    cores = usable_cores()
    return min(cores + cores // 2, MOST_PROCESSES) if cores > 1 else 0


@pytest.hookimpl(wrapper=True, tryfirst=True)  # around pytest-timeout too: waiting for the others is no part of a test
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """The processes of a session share a lock for a test, and a test marked ``alone`` has the lock for itself."""
    if not hasattr(item.config, "workerinput"):  # this is the only process
        return (yield)
    import fcntl  # POSIX

    shared = Path(item.config.option.basetemp).parent
    with (shared / "gate.lock").open("w") as gate, (shared / "alone.lock").open("w") as lock:
        fcntl.flock(gate, fcntl.LOCK_EX)  # who waits at it to be alone lets no other test begin
        fcntl.flock(lock, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        try:
            return (yield)
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # closing is not enough: a process that the test forked has the file too


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a CUDA device where there is none (tests/gpu runs on the CPU then)."""
    for item in items:
        if item.get_closest_marker("gpu") and not has_cuda():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@functools.cache
def has_cuda() -> bool:
    import torch  # not for a session that tests no tensor

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Every process that the test started has ended, and shared memory holds no new file (Linux tells both)."""
    processes, files = descendants(), shared_files()
    yield
    deadline = time.monotonic() + GRACE
    while (left := [*(descendants() - processes), *ours(shared_files() - files)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not left, f"left behind: {', '.join(describe(item) for item in left)}"


def shared_files() -> set[Path]:
    return set(SHARED_MEMORY.iterdir()) if SHARED_MEMORY.is_dir() else set()


def ours(files: set[Path]) -> set[Path]:
    """Without those that only processes outside of this session use: the machine may be doing other things."""
    if not files:
        return files
    family = {os.getpid(), *descendants()}
    inodes: dict[str, Path] = {}  # as maps writes them; a semaphore's name there is not its name here
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            inodes[str(file.stat().st_ino)] = file
    used: dict[Path, set[int]] = {file: set() for file in inodes.values()}
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = maps.read_text(errors="replace").splitlines()
        except OSError:  # ended, or another user's
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 5 and fields[5].startswith(str(SHARED_MEMORY)) and fields[4] in inodes:
                used[inodes[fields[4]]].add(int(maps.parent.name))
    return {file for file, pids in used.items() if not pids or pids & family}


def descendants() -> set[int]:
    """Processes below this one; multiprocessing's two servers, which serve the whole session, do not count."""
    found: set[int] = set()
    waiting = [os.getpid()]
    while waiting:
        for children in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            try:
                pids = {int(pid) for pid in children.read_text().split()}
            except OSError:  # the thread has just ended
                continue
            waiting += pids
            found |= pids
    return found - {forkserver._forkserver._forkserver_pid, resource_tracker._resource_tracker._pid}


def describe(left: int | Path) -> str:
    if isinstance(left, Path):
        return str(left)
    try:
        words = Path(f"/proc/{left}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        words = "just ended"
    return f"process {left} ({words.strip()})"
