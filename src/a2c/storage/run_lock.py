"""One run in a folder at a time. The kernel lets go of the lock when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from a2c.errors import RunIOError

if sys.platform != "win32":
    import fcntl

LOCK = ".lock"
_GLANCES = (0.05, 0.1)  # seconds to wait before trying again: whoever only looks (:func:`is_held`) is gone by then
ORPHANED = 40.0  # seconds for processes that have outlived who held the lock: torch's agent gives its ranks 30
_UNSUPPORTED = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL}

# A lock belongs to an open file. A forked child has that file too, and would keep the lock of a run that died.
_held: dict[int, Path] = {}  # of each descriptor the folder


def _close_in_child() -> None:
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


_reserved: set[Path] = set()  # folders whose lock this process holds for a later :func:`locked`


class FolderTakenError(RunIOError):
    """Another run is going on in the folder."""


@contextlib.contextmanager
def reserved(folder: Path, tell: Callable[[str], object]) -> Iterator[None]:
    """Take the lock of a run folder before the run begins: :func:`locked` then finds it taken by ourselves.

    Args, Raises: as :func:`locked`.
    """
    with locked(folder, tell):
        _reserved.add(folder.resolve())
        try:
            yield
        finally:
            _reserved.discard(folder.resolve())


@contextlib.contextmanager
def locked(folder: Path, tell: Callable[[str], object]) -> Iterator[None]:
    """Keep every other run out of ``folder`` for as long as the block lasts.

    Nothing in the folder changes before the lock is ours. The file stays; who holds the lock, not the file, counts.

    Args:
        folder: the run folder; it exists.
        tell: called with one line where the file system has no locks; the run goes on there without one.

    Raises:
        FolderTakenError: another run holds the folder.
        RunIOError: it cannot be written.
    """
    if folder.resolve() in _reserved:
        yield
        return
    path = folder / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # closed in every program that this one starts
    except OSError as error:
        raise RunIOError(f"cannot write the run folder {folder}: {error.strerror or error}") from error
    _held[descriptor] = folder.resolve()
    pid = os.getpid()
    try:
        if _lock(descriptor, folder, tell):
            with contextlib.suppress(OSError):  # a full disk: then the line does not say who holds it
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"process {pid} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        if os.getpid() == pid:  # a forked child has closed its copy, and the number may mean another file by now
            _held.pop(descriptor, None)
            os.close(descriptor)


def inherited(folder: Path) -> tuple[int, ...]:
    """What a process must inherit that works in a folder which we hold: should we die, others wait until it has ended.

    Returns:
        File descriptors, for ``pass_fds``.
    """
    return tuple(descriptor for descriptor, held in _held.items() if held == folder.resolve())


def is_held(folder: Path) -> bool:
    """Whether a run is going on in ``folder``; it changes nothing there.

    Where there are no locks, nobody can tell, and the answer is False.
    """
    return is_locked(folder / LOCK)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file; as :func:`is_held`."""
    if sys.platform == "win32":
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def hold(descriptor: int) -> bool:
    """Take the lock of an open file, which holds until every process that has inherited the file is gone.

    Returns:
        False: another process has it. Where there are no locks, True.
    """
    if sys.platform == "win32":
        return True
    try:
        _take(descriptor)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    return True


def _lock(descriptor: int, folder: Path, tell: Callable[[str], object]) -> bool:
    """Take the lock; False where there is none to take."""
    if sys.platform == "win32":
        tell(f"this system has no locks: see to it that no second run writes into {folder}")
        return False
    try:
        _take(descriptor)
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
        if not (_has_died(holder) and _outlasted(descriptor, holder, tell)):
            raise FolderTakenError(
                f"{folder} belongs to a run that is going on ({holder}); wait for it, or stop it"
            ) from None
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise RunIOError(f"cannot lock {folder}: {error.strerror or error}") from error
        tell(f"the file system of {folder} has no locks: see to it that no second run writes into it")
        return False
    return True


def _has_died(holder: str) -> bool:
    """Whether who wrote its name into the lock is a process of this machine that is no longer there."""
    found = re.fullmatch(r"process (\d+) on (.*)", holder)
    if found is None or found[2] != socket.gethostname():
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


def _outlasted(descriptor: int, holder: str, tell: Callable[[str], object]) -> bool:
    """Wait until the processes of a holder that has died have ended; False: they have not."""
    tell(f"waiting until what {holder} has started ends, too")
    deadline = time.monotonic() + ORPHANED
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            _take(descriptor)
            return True
    return False


def _take(descriptor: int) -> None:
    for wait in _GLANCES:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(wait)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
