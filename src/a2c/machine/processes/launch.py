"""How a worker process starts: by which start method, without the user's script, with one numerical thread."""

from __future__ import annotations

import contextlib
import copy
import functools
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from multiprocessing import resource_tracker
from typing import Any, NoReturn

from gymnasium.envs.registration import registry
from gymnasium.vector.utils import clear_mpi_env_vars

from a2c.errors import ConfigError
from a2c.machine.processes.pickles import dumps_by_value, loads

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
_changing = threading.RLock()  # the script's module and the variables of this process, in one thread at a time
_preloads: dict[str, None] = {}  # an ordered set


@contextlib.contextmanager
def without_main_module() -> Iterator[None]:
    """Keep a worker from running the user's script again.

    multiprocessing imports the script into every spawned process, because plain pickle needs it. Our arguments travel
    by cloudpickle, which does not, and the script may import torch or have no ``if __name__ == "__main__"``.
    """
    with _changing:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Give every process that starts meanwhile one thread in each numerical library."""
    with _changing:
        before = {name: os.environ.get(name) for name in ONE_THREAD}
        os.environ.update(ONE_THREAD)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def environ_for_workers() -> dict[str, str]:
    """The environment variables for a worker: what this process has now, not what the forkserver started with."""
    with clear_mpi_env_vars():
        return {**os.environ, **ONE_THREAD}


def shield_resource_tracker() -> None:
    """Start multiprocessing's tracker of semaphores so that a signal to the whole group does not end it.

    It shields itself from Ctrl-C and SIGTERM alone, and another one in its place would complain of all that it does not
    know. What is blocked when a program starts stays so.
    """
    if not hasattr(signal, "pthread_sigmask"):
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGUSR1})
    try:
        resource_tracker.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def multiprocessing_context(name: str | None, preload: str) -> Any:
    """The multiprocessing context of a start method; forkserver by default: a fork after torch ran threads deadlocks.

    Args:
        name: fork, forkserver or spawn; None: forkserver, or spawn where there is none.
        preload: a module that a new forkserver imports once for all the processes that it starts, beside those that
            others have named before.
    """
    if name is None:
        name = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(name)
    if name == "forkserver":
        _preloads[preload] = None
        context.set_forkserver_preload(list(_preloads))
    return context


class Registered:
    """The environments that this process has registered, for a worker: it imports Gymnasium, not the user's script.

    Each travels by itself. One that cannot, or whose module a worker does not find, fails only whoever asks for it, and
    nobody waits for the imports of those that nobody makes.
    """

    def __init__(self) -> None:
        self._specs: dict[str, bytes] = {}
        for name, spec in registry.items():
            if isinstance(spec.entry_point, str) and spec.entry_point.startswith("gymnasium."):
                continue
            with contextlib.suppress(Exception):
                travelling = copy.copy(spec)
                for entry in ("entry_point", "vector_entry_point"):
                    if callable(maker := getattr(spec, entry)):
                        setattr(travelling, entry, _late(maker))
                self._specs[name] = dumps_by_value(travelling)

    def register(self) -> None:
        """Register them in this process, the worker."""
        for name, data in self._specs.items():
            with contextlib.suppress(Exception):
                registry[name] = loads(data)


def _late(maker: Any) -> Late | CannotTravel:
    try:
        return Late(dumps_by_value(maker))
    except Exception as error:
        return CannotTravel(f"{type(error).__name__}: {error}")


class CannotTravel:
    """In the place of what makes an environment and cannot be pickled: says so to whoever asks for one there."""

    def __init__(self, why: str) -> None:
        self._why = why

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise ConfigError(f"what makes the environment cannot be sent to another process: {self._why}")


class Late:
    """What makes an environment, unpickled when it is asked for: that may import a module, and with it torch."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._maker(*arguments, **named)

    def __getattr__(self, name: str) -> Any:  # Gymnasium looks at metadata
        if name.startswith("_"):  # copying and pickling ask for what it may have; that is no reason to import
            raise AttributeError(name)
        return getattr(self._maker, name)

    def __reduce__(self) -> tuple[Any, ...]:  # as it came
        return Late, (self._data,)

    @functools.cached_property
    def _maker(self) -> Any:
        return loads(self._data)
