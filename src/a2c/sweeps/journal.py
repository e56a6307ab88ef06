"""The journal of a sweep: what Optuna keeps on disk, a line for each thing that happened."""

from __future__ import annotations

import contextlib
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from a2c.sweeps.claims import turn

JOURNAL = "journal.log"


def open_journal(folder: Path) -> JournalStorage:
    """The journal in a sweep's folder, begun or gone on with.

    Raises:
        OSError: it cannot be written.
    """
    path, lock = folder / JOURNAL, _KernelLock(folder)
    _mend(path, lock)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))


class _KernelLock(JournalFileOpenLock):  # Optuna's interface of locks is not public
    """The kernel's lock in place of Optuna's, which stays for half a minute where a process is killed as it writes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder / JOURNAL))
        self._folder, self._held = folder, contextlib.ExitStack()

    def acquire(self) -> bool:
        self._held.enter_context(turn(self._folder, "journal"))
        return True

    def release(self) -> None:
        self._held.close()


def _mend(path: Path, lock: JournalFileOpenLock) -> None:
    """Cut off a last line that a full disk has cut short: Optuna would write the next one behind it."""
    if not path.is_file() or _whole_lines(path) == path.stat().st_size:
        return
    lock.acquire()
    try:
        with path.open("rb+") as file:
            file.truncate(_whole_lines(path))
    finally:
        lock.release()


def _whole_lines(path: Path) -> int:
    """The bytes up to the end of the last line that has one."""
    return path.read_bytes().rfind(b"\n") + 1
