"""Who trains what: several terminals may work on one sweep, and each of its trials belongs to one of them.

A claim is a lock of the kernel's, which lets go when its process ends, however that ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from a2c.errors import RunIOError
from a2c.settings.notices import tell_once
from a2c.storage.run_lock import FolderTakenError, is_held, locked

CLAIMS = ".claims"

Claim = contextlib.ExitStack  # closing it gives the claim back


@contextlib.contextmanager
def turn(folder: Path, name: str) -> Iterator[None]:
    """Do something of a sweep while no other process does the same; waits until it is our turn.

    Args:
        folder: of the sweep.
        name: of what is done.

    Raises:
        RunIOError: the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locked(_place(folder, name), _say_without_locks(folder)))
                break
            except FolderTakenError:  # others are at it, in a moment they will have done
                continue
        yield


def choosing(folder: Path) -> contextlib.AbstractContextManager[None]:
    """The :func:`turn` to choose what to train next."""
    return turn(folder, "choosing")


def claim(folder: Path, name: str) -> Claim | None:
    """Claim something of a sweep until the claim is closed; None: it is another process's.

    Args:
        folder: of the sweep.
        name: of what is claimed.

    Raises:
        RunIOError: the folder cannot be written.
    """
    place = _place(folder, name)
    if is_held(place):
        return None
    claimed = contextlib.ExitStack()
    try:
        claimed.enter_context(locked(place, _say_without_locks(folder)))
    except FolderTakenError:
        return None
    return claimed


def _place(folder: Path, name: str) -> Path:
    place = folder / CLAIMS / name
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunIOError(f"cannot write {place}: {error.strerror or error}") from error
    return place


def _say_without_locks(folder: Path) -> Callable[[str], object]:
    return lambda line: tell_once(f"there are no locks in {folder}: let only one terminal work on this sweep")
