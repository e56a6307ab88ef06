"""End a worker process when the main process ends, however that ends and whatever the worker is doing."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any

# Ends of pipes and sockets that only this process may hold: if a forked child kept them, nobody would see it end.
_own_ends: weakref.WeakSet[Connection | socket.socket] = weakref.WeakSet()


def hold_alone(*ends: Connection | socket.socket) -> None:
    """Close these ends of pipes and sockets in every process that is forked from this one."""
    _own_ends.update(ends)


def _close_own_ends() -> None:
    for end in list(_own_ends):
        end.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_own_ends)


def close_at_exit(owner: Any) -> Callable[[], None]:
    """Close ``owner``, which has worker processes, when this process exits, unless it is closed by then.

    multiprocessing joins its children at exit and would wait for ours for ever. This hook runs before that one, because
    hooks run last in, first out.

    Args:
        owner: has ``closed`` and ``close(terminate=True)``; it is not kept alive.

    Returns:
        What to ``atexit.unregister`` once it is closed.
    """
    reference = weakref.ref(owner)

    def close_if_alive() -> None:
        alive = reference()
        if alive is not None and not alive.closed:
            alive.close(terminate=True)

    return atexit.register(close_if_alive)


def leave_with_parent(life_line: Connection, parent_pid: int) -> None:
    """End this process when the main process ``parent_pid`` ends.

    Only the main process holds the other end of the life line, so that end of file means that it is gone. A thread
    waits for that; on Linux the kernel also sends SIGIO, which ends a process whose environment hangs in C with
    Python's lock held. (PR_SET_PDEATHSIG will not do: the parent of a worker is the forkserver, and with fork it is a
    thread.)

    Args:
        life_line: our end of the pipe.
        parent_pid: of the main process.
    """
    if sys.platform == "linux":
        import fcntl

        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(life_line.fileno(), fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(life_line.fileno(), fcntl.F_GETFL)
        fcntl.fcntl(life_line.fileno(), fcntl.F_SETFL, flags | os.O_ASYNC)
    leave_with_process(parent_pid, life_line)  # even if another process inherited the other end


def leave_with_process(pid: int, *life_lines: Connection) -> None:
    """End this process when another one ends, or a life line does, unless an environment hangs in C with Python's lock.

    Args:
        pid: of the other process.
        life_lines: our ends of pipes; where the kernel or a sandbox has no pidfd, they are all there is.
    """
    watched: list[Any] = [*life_lines]
    if hasattr(os, "pidfd_open"):
        try:
            watched.append(os.pidfd_open(pid))
        except ProcessLookupError:
            os._exit(1)
        except OSError:
            pass

    def watch() -> None:
        connection.wait(watched)
        os._exit(1)

    if watched:
        threading.Thread(target=watch, name="a2c-life-line", daemon=True).start()
