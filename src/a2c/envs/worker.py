"""The process that steps one shard of the environments.

It imports no torch: the forkserver preloads this module, so that a worker starts in milliseconds.

Protocol on the socket to the main process, one byte first, a pickled message behind it where there is more to say:
the main process sends STEP (actions lie in shared memory) or COMMAND + (name, data); a worker answers DONE,
RESULT + value, or FAILED + FailureReport and leaves.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from gymnasium.envs.registration import registry

from a2c.envs.failure_report import FailureReport, report_failure
from a2c.envs.shard import Shard, ShardMemory
from a2c.envs.spin import SpinWait
from a2c.envs.transport import Parcel, dumps, loads

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from gymnasium import Env, Space

STEP, COMMAND = b"S", b"C"
DONE, RESULT, FAILED = b".", b"R", b"!"


@dataclass(slots=True)
class Orders:
    """All that a worker must know to build its shard."""

    worker: int
    first: int  # global index of its first environment
    num_envs: int  # in this shard
    env_fns: Parcel  # list[Callable[[], Env]]
    spaces: Parcel  # (observation_mode, single_observation_space, single_action_space)
    registry: Parcel  # environments that the main process registered
    environ: dict[str, str]
    autoreset: str
    memory: ShardMemory
    parent_pid: int
    spin: float  # seconds to wait awake for the next order


def run_worker(orders: Orders, pipe: Connection, lifeline: Connection) -> None:
    """Build the shard, then obey until told to close; every exception goes to the main process."""
    become_worker(lifeline, orders.parent_pid, orders.environ)
    shard = Shard(orders.worker, orders.first, orders.num_envs, orders.autoreset, orders.memory)
    try:
        _serve(shard, orders, pipe)
    except (BrokenPipeError, ConnectionResetError, EOFError):
        pass  # the main process is gone
    except BaseException as error:
        tell_failure(pipe, report_failure(error, shard.at_fault(), orders.worker, os.getpid(), shard.doing))
    finally:
        shard.close()


def _serve(shard: Shard, orders: Orders, pipe: Connection) -> None:
    registry.update(orders.registry.open())
    answer(pipe, COMMANDS["set_up"](shard, (orders.env_fns.open(), orders.spaces.open())))
    shard.rest()

    fd = pipe.fileno()
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    spin = SpinWait(poller, orders.spin)
    read, write = os.read, os.write
    step = shard.step
    while True:
        spin()
        code = read(fd, 1)
        if code == STEP:
            news = step(None)
            shard.rest()
            if news is None:
                write(fd, DONE)
            else:
                answer(pipe, news)
        elif code == COMMAND:
            name, data = loads(pipe.recv_bytes())
            if name == "close":
                return
            result = COMMANDS[name](shard, data)
            shard.rest()
            answer(pipe, result)
        else:
            return  # end of file: the main process closed its end


COMMANDS: dict[str, Callable[[Shard, Any], Any]] = {
    "set_up": lambda shard, data: _set_up(shard, *data),
    "step": lambda shard, actions: shard.step(actions),
    "reset": lambda shard, data: shard.reset(*data),
    "call": lambda shard, data: shard.call(*data),
    "infos": lambda shard, keys: shard.keep_infos(keys),
    "setattr": lambda shard, data: shard.set_attribute(*data),
}


def _set_up(shard: Shard, env_fns: Sequence[Callable[[], Env[Any, Any]]], spaces: tuple[Any, ...]) -> Any:
    """Make the environments of a shard; returns how their spaces compare with those of the whole."""
    shard.build(env_fns)
    return _compare_spaces(shard.envs, *spaces)


def become_worker(lifeline: Connection, parent_pid: int, environ: dict[str, str]) -> None:
    """Make this process one that lives and dies with the main process ``parent_pid``, in its environment."""
    _leave_with_parent(lifeline, parent_pid)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        # They reach the whole process group (Ctrl-C, Slurm); the main process decides when workers stop.
        signal.signal(number, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environ)


def answer(pipe: Connection, value: Any) -> None:
    """Send what a command came to."""
    data = dumps(value)  # before the first byte: what cannot be pickled is an error of the environment
    os.write(pipe.fileno(), RESULT)
    pipe.send_bytes(data)


def tell_failure(pipe: Connection, report: FailureReport) -> None:
    """Send what went wrong, if the main process still listens."""
    with contextlib.suppress(OSError):
        os.write(pipe.fileno(), FAILED)
        pipe.send_bytes(dumps(report))


def _compare_spaces(
    envs: list[Env[Any, Any]], mode: Any, observation_space: Space[Any], action_space: Space[Any]
) -> tuple[list[bool], list[bool], list[Space[Any]] | None]:
    """For each environment: do its spaces fit those of the whole? With mode "different" also its space."""
    from gymnasium.spaces.utils import is_space_dtype_shape_equiv

    if isinstance(mode, str) and mode == "same":
        fits = [bool(env.observation_space == observation_space) for env in envs]
    else:
        fits = [bool(is_space_dtype_shape_equiv(observation_space, env.observation_space)) for env in envs]
    different = [env.observation_space for env in envs] if isinstance(mode, str) and mode == "different" else None
    return fits, [bool(env.action_space == action_space) for env in envs], different


def _leave_with_parent(lifeline: Connection, parent_pid: int) -> None:
    """Die when the main process does, however it dies and whatever an environment is doing here.

    Only the main process holds the other end of the lifeline; its end of file is the sign. A thread waits for it;
    on Linux the kernel also sends SIGIO, which ends a process whose environment hangs in C with Python's lock held.
    (PR_SET_PDEATHSIG will not do: the parent of a worker is the forkserver, and with fork it is a thread.)
    """
    if sys.platform == "linux":
        import fcntl

        signal.signal(signal.SIGIO, signal.SIG_DFL)
        fcntl.fcntl(lifeline.fileno(), fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(lifeline.fileno(), fcntl.F_GETFL)
        fcntl.fcntl(lifeline.fileno(), fcntl.F_SETFL, flags | os.O_ASYNC)
    watched: list[Any] = [lifeline]
    if hasattr(os, "pidfd_open"):
        try:
            watched.append(os.pidfd_open(parent_pid))  # even if a stranger inherited the other end
        except ProcessLookupError:
            os._exit(1)
        except OSError:
            pass  # a kernel or sandbox without pidfd: the lifeline is enough

    def watch() -> None:
        connection.wait(watched)
        os._exit(1)

    threading.Thread(target=watch, name="a2c-lifeline", daemon=True).start()
